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
    for heading in ("work", "against", "newleaf", "other", "ratio", "target", ""):
        table.add_column(heading, justify="right" if heading in ("newleaf", "other", "ratio", "target") else "left")
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        target = "" if row.target is None else f"≥ {row.target:g}"
        table.add_row(row.work, row.reference, row.newleaf, row.other, ratio, target, row.verdict)
    console = Console(width=150)
    console.print(table)
    console.print(f"The client took at most {max((row.client_share for row in rows), default=0):.0%} of its core.")


def write_json(rows: Sequence[Row], path: Path) -> None:
    """The rows that have a ratio, as a list of objects."""
    measured = [
        {"work": row.work, "reference": row.reference, "ratio": round(row.ratio, 3), "target": row.target}
        for row in rows
        if row.ratio is not None
    ]
    path.write_text(json.dumps(measured, indent=2) + "\n")
