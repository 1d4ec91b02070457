"""How long the rest of a stage will take."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["Pace", "share_of"]


def share_of(share: float | None, done: int, total: int) -> float:
    """Return the part of a stage's work that is behind: `share`, or (None) that of its steps."""
    if share is not None:
        return share
    return done / total if total else 0.0


@dataclass(frozen=True)
class Pace:
    """How fast a stage goes.

    The rest takes as long, for its work, as all that this run has done since its first step: the
    speed of the last half minute, which is the custom, would mislead, since tiles of pairs differ
    in cost. The first step itself is left out as soon as there is a second one: it pays for the
    start, and stands for what else is begun by then. What an earlier run has done took none of this
    one's time.

    Attributes
    ----------
    began : float
        What the clock showed when the stage began, in seconds.
    before : float
        Part of its work that was behind then, 0 to 1.
    stepped : float, optional
        What the clock showed after the first step.
    first : float
        Part of the work that was behind after it.
    """

    began: float
    before: float = 0.0
    stepped: float | None = None
    first: float = 0.0

    def after(self, now: float, share: float) -> Pace:
        """Return the pace once `share` of the work is behind."""
        if self.stepped is not None or share <= self.before:
            return self
        return replace(self, stepped=now, first=share)

    def seconds_left(self, now: float, share: float) -> float | None:
        """Return how long the rest will take; None while that is not known."""
        since, before = self.began, self.before
        if self.stepped is not None and share > self.first:
            since, before = self.stepped, self.first
        if share <= before:
            return None
        return max(0.0, (now - since) * (1 - share) / (share - before))

    def left(self, now: float, share: float) -> str:
        """Return it in words; once all is done, how long it took."""
        seconds = self.seconds_left(now, share)
        if share >= 1 or seconds is None:
            return _duration(now - self.began)
        return f"{_duration(seconds)} left"


def _duration(seconds: float) -> str:
    """Return a time in words, to the second."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
