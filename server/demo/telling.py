"""How the story looks: headings, tables and dialogue in a terminal or a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_WIDEST = 110
_VOICES = {"agent": "green", "lead": "cyan", "human": "magenta", "system": "yellow"}


class Telling:
    """Prints the story; `request` lines are collected and shown dimmed under the heading that they belong to."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self.console.width = min(self.console.width, _WIDEST)

    def heading(self, text: str) -> None:
        """A new part of the story."""
        self.console.print()
        self.console.rule(f"[bold]{escape(text)}", align="left", style="green")

    def request(self, line: str) -> None:
        """A request that was made and answered."""
        self.console.print(f"  {line}", style="dim", markup=False)

    def say(self, text: str, style: str = "") -> None:
        """A line of the story."""
        self.console.print(Padding(Text(text, style=style), (0, 0, 0, 2)))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], at_most: int = 12) -> None:
        """A small table; what is beyond `at_most` rows is only counted."""
        rows = list(rows)
        table = Table(*columns, box=None, header_style="bold", padding=(0, 2, 0, 0))
        for row in rows[:at_most]:
            table.add_row(*(Text(str(cell), overflow="ellipsis", no_wrap=True) for cell in row))
        self.console.print(Padding(table, (0, 0, 0, 4)))
        if len(rows) > at_most:
            self.say(f"  … and {len(rows) - at_most} more", "dim")

    def speech(self, role: str, name: str, text: str) -> None:
        """What somebody said."""
        line = Text.assemble((f"{name}: ", f"bold {_VOICES[role]}"), text)
        self.console.print(Padding(line, (0, 0, 0, 4)))

    def turn_of_events(self, text: str) -> None:
        """What a message led to."""
        self.console.print(Padding(Text(f"↳ {text}", style="yellow"), (0, 0, 0, 6)))

    def plain(self, text: str) -> None:
        """A line to copy: never wrapped, never styled."""
        self.console.print(text, markup=False, soft_wrap=True)


def curl(base_url: str, key: str, method: str, path: str, body: Any = None) -> str:
    """A curl command for a POSIX shell."""
    parts = ["curl -s", *([f"-X {method}"] if method != "GET" else []), f"-H 'X-API-Key: {key}'"]
    if body is not None:
        parts += ["-H 'Content-Type: application/json'", f"-d '{json.dumps(body)}'"]
    return " ".join([*parts, f"'{base_url}{path}'"])
