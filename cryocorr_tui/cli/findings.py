"""What the doctor found, as text."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from rich.console import Console
from rich.text import Text

from cryocorr_tui.core.doctor import Finding

__all__ = ["print_findings"]


def print_findings(console: Console, findings: Iterable[Finding]) -> None:
    """Print each fact with its state, and below it what mends it."""
    for section, facts in groupby(findings, key=lambda finding: finding.section):
        console.print(section, style="heading")
        for fact in facts:
            state = fact.state.value
            said = f"{fact.subject}: {fact.said}"
            console.print(Text.assemble("  ", (f"{state:9}", state), said))
            for line in fact.mend:
                console.print(Text.assemble(" " * 11, ("mend: ", "mend"), line))
