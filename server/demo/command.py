"""`newleaf demo`: the house, the story in it, and a key to go on with."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from .house import House
    from .telling import Telling

LEADS = Path(__file__).parent / "leads.csv"


@click.command()
@click.option("--once", is_flag=True, help="End after the story; exit 1 if a step of it did not hold.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Port to serve on; a free one if not given.")
@click.option(
    "--csv",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=LEADS,
    help="CSV file to import instead of the demo's own.",
)
def demo(once: bool, port: int, csv: Path) -> None:
    """Start a server of its own in a temporary folder and play the main job through its HTTP API.

    Afterwards it goes on serving, and prints a key to try it with, until Ctrl-C.
    """
    from .house import House, HouseDown
    from .telling import Telling

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both end it alike, and clean up
    telling = Telling()
    try:
        with House(port) as house:
            is_fine = _play(house, telling, csv)
            if is_fine and not once:
                _hand_over(house, telling)
                house.wait()
    except HouseDown as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        telling.say("\nThe demo and its database are gone.")
        sys.exit(1 if once else 0)
    if not is_fine:
        sys.exit(1)


def _play(house: House, telling: Telling, csv: Path) -> bool:
    """Play the story; False, and said why, where a step did not hold."""
    from .api import Api, StepFailed
    from .story import play

    api = Api(house.base_url, house.key, telling.request)
    try:
        play(api, telling, csv)
    except StepFailed as error:
        telling.say(f"\nThis step did not hold: {error}", "bold red")
        return False
    finally:
        api.close()
    telling.say("\nEvery step held.", "bold green")
    return True


def _hand_over(house: House, telling: Telling) -> None:
    from .story import FORM
    from .telling import curl

    telling.heading("It is yours until Ctrl-C")
    telling.plain(f"Base URL  {house.base_url}")
    telling.plain(f"Docs      {house.base_url}/docs")
    telling.plain(f"Test key  {house.key}\n")
    for method, path, body in (
        ("GET", "/api/leads?statuses=qualified", None),
        ("POST", "/api/leads", {"name": FORM["name"], "phone": "+12025550196"}),
        ("GET", "/api/conversations?limit=1", None),
    ):
        telling.plain(curl(house.base_url, house.key, method, path, body) + "\n")
