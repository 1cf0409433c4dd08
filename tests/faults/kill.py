"""A server killed dozens of times at random instants loses and doubles nothing, on both databases. Takes minutes.

`pytest tests/faults/kill.py -k sqlite` runs those of one database. FAULTS_SEED draws other storms.
"""

from __future__ import annotations

import os

import pytest

from tests.faults import campaign_checks, campaigns, imports, letter_checks, letters, syncs, talks
from tests.faults.echo_model import echo_model
from tests.faults.house import check_files
from tests.faults.providers import providers
from tests.faults.storm import Storm, settle

SEED = int(os.environ.get("FAULTS_SEED", "20260101"))
SETTLED_WITHIN_S = 180
CAMPAIGN_WITHIN_S = 900

pytestmark = pytest.mark.parametrize("engine_name", ["sqlite", "postgres"])


@pytest.fixture
def make_storm(tell):
    """Makes storms that abate after a minute, however slow the machine is."""

    def make(house, **course):
        storm = Storm(house.server, SEED, longest_s=60, **course)
        tell(storm.toll)
        return storm

    return make


def test_200_syncs(make_house, make_storm, engine_name):
    house = make_house(engine_name)
    storm = make_storm(house, kills=40, gap=(2, 8))

    batches = syncs.run(house, storm, SEED, syncs=200, items=(50, 100))
    storm.strike()

    syncs.check(house, batches)
    house.check_replays(storm)
    check_files()


def test_50_imports(make_house, make_storm, engine_name):
    house = make_house(engine_name)
    storm = make_storm(house, kills=20, gap=(2, 8))

    files = imports.run(house, storm, SEED, imports=50, long=6)
    storm.strike()
    settle(SETTLED_WITHIN_S)

    imports.check(house, files)
    house.check_replays(storm)
    check_files()


def test_200_replies(make_house, make_storm, engine_name):
    with echo_model() as model:
        house = make_house(engine_name, **model.settings)
        storm = make_storm(house, kills=20, gap=(3, 12))

        replies = talks.run(house, storm, SEED, conversations=20, replies=5)
        storm.strike()
        settle(SETTLED_WITHIN_S)

        talks.check(house, replies)
        house.check_replays(storm)
    check_files()


def test_letters_by_four_channels(make_house, tell, engine_name):
    with echo_model() as model, providers() as four:
        settings, is_postgres = {**model.settings, **four.settings}, engine_name == "postgres"
        house = make_house(engine_name, environment="live", workers=int(is_postgres), **settings)
        course = {"kills": 150, "gap": (1, 6), "longest_s": 200}

        written = letters.run(house, four, SEED, least=5, settle_s=SETTLED_WITHIN_S, **course)
        tell(str(written))

        letter_checks.check(house, written)
    check_files()


def test_campaigns(make_house, tell, engine_name):
    is_postgres = engine_name == "postgres"
    house = make_house(engine_name, workers=4 * is_postgres, serves_only=is_postgres)
    recipients = 10_000 if is_postgres else 2_000

    done = campaigns.run(house, SEED, recipients=recipients, kills=100, stops=50, within_s=CAMPAIGN_WITHIN_S)
    tell(done)

    campaign_checks.check(house, done)
    house.check_replays(done.storm)
    check_files()


def test_campaigns_by_two_channels(make_house, tell, engine_name):
    with providers() as four:
        is_postgres = engine_name == "postgres"
        house = make_house(
            engine_name, environment="live", workers=2 * is_postgres, serves_only=is_postgres, **four.settings
        )
        course = {"channels": ("sms", "email"), "providers": four, "within_s": CAMPAIGN_WITHIN_S}

        done = campaigns.run(house, SEED, recipients=150, kills=20, stops=6, **course)
        tell(done)

        campaign_checks.check(house, done)
        house.check_replays(done.storm)
    check_files()
