"""How long the rest of a stage will take, in words."""

from __future__ import annotations

__all__ = ["duration", "share_of", "time_left"]


def share_of(share: float | None, done: int, total: int) -> float:
    """Return the part of a stage's work that is behind: `share`, or (None) that of its steps."""
    if share is not None:
        return share
    return done / total if total else 0.0


def time_left(elapsed: float, before: float, share: float) -> str:
    """Return how long the rest will take, in words; once all is done, how long it took.

    The rest takes as long, for its work, as all that this run has done: the speed of the last half
    minute, which is the custom, would mislead, since tiles of pairs differ in cost. What an earlier
    run has done took none of this one's time.

    Parameters
    ----------
    elapsed : float
        Seconds since the stage began.
    before, share : float
        Part of its work that was behind then, and that is behind now, 0 to 1.
    """
    if share >= 1 or share <= before:
        return duration(elapsed)
    return f"{duration(elapsed * (1 - share) / (share - before))} left"


def duration(seconds: float) -> str:
    """Return a time in words, to the second."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
