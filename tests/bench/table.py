"""The results: rows with a ratio and its target, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from .duel import Speed

HEADINGS = ("work", "against", "newleaf", "other", "ratio", "target", "")
_FIGURES = ("newleaf", "other", "ratio", "target")


@dataclass(frozen=True, slots=True)
class Row:
    """One result: what newleaf did, what it is held against, and how many times as good it must be; None: a figure."""

    work: str
    reference: str
    newleaf: str
    other: str
    ratio: float | None = None
    target: float | None = None
    client_share: float = 0.0  # the most that the client took of its core

    @property
    def verdict(self) -> str:
        """How the ratio stands to its target."""
        if self.ratio is None or self.target is None:
            return ""
        return "ok" if self.ratio >= self.target else "MISS"

    def cells(self) -> tuple[str, ...]:
        """What a table shows of it, under HEADINGS."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        target = "" if self.target is None else f"≥ {self.target:g}"
        return self.work, self.reference, self.newleaf, self.other, ratio, target, self.verdict


def said(speed: Speed) -> str:
    """Median, spread and cost of a work."""
    cpu = sorted(speed.cpu_us)[len(speed.cpu_us) // 2]
    return f"{speed.median:,.0f}/s ({min(speed.rounds):,.0f}…{max(speed.rounds):,.0f}) {cpu:,.0f} µs"


def against(work: str, reference: str, own: Speed, other: Speed, target: float | None) -> Row:
    """The row of a work that both did."""
    share = max(*own.client_shares, *other.client_shares)
    return Row(work, reference, said(own), said(other), own.median / other.median, target, share)


def show(rows: Sequence[Row], title: str) -> None:
    """Print the rows; a speed is requests a second in the median round (slowest…fastest) and processor time of one."""
    table = Table(title=title, box=box.SIMPLE, title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, justify="right" if heading in _FIGURES else "left")
    for row in rows:
        table.add_row(*row.cells())
    console = Console(width=150)
    console.print(table)
    console.print(f"The client took at most {max((row.client_share for row in rows), default=0):.0%} of its core.")


def write_markdown(rows: Sequence[Row], path: Path) -> None:
    """The same table as the README has it."""
    rules = ["---:" if heading in _FIGURES else "---" for heading in HEADINGS]
    lines = [" | ".join(cells) for cells in (HEADINGS, rules, *(row.cells() for row in rows))]
    path.write_text("".join(f"| {line} |\n" for line in lines))


def write_json(rows: Sequence[Row], path: Path) -> None:
    """The rows that have a ratio, as a list of objects."""
    measured = [
        {"work": row.work, "reference": row.reference, "ratio": round(row.ratio, 3), "target": row.target}
        for row in rows
        if row.ratio is not None
    ]
    path.write_text(json.dumps(measured, indent=2) + "\n")
