"""A server killed a few times amid its work loses and doubles nothing; `kill.py` is the long edition."""

from __future__ import annotations

import pytest

from tests.conftest import ENGINE
from tests.faults import campaign_checks, campaigns, imports, letter_checks, letters, syncs, talks
from tests.faults.echo_model import echo_model
from tests.faults.house import check_files
from tests.faults.providers import providers
from tests.faults.storm import Storm, settle

SEED = 20260101


@pytest.fixture
def tide(tell):
    """Makes storms of two kills."""

    def make(house):
        storm = Storm(house.server, SEED, kills=2, gap=(3, 8))
        tell(storm.toll)
        return storm

    return make


def test_syncs_lose_and_double_nothing(make_house, tide):
    house = make_house(ENGINE)
    storm = tide(house)

    batches = syncs.run(house, storm, SEED, syncs=16, items=(50, 100))
    storm.strike()

    syncs.check(house, batches)
    house.check_replays(storm)
    check_files()


def test_imports_lose_and_double_nothing(make_house, tide):
    house = make_house(ENGINE)
    storm = tide(house)

    files = imports.run(house, storm, SEED, imports=6, long=1)
    settle(within_s=60)

    imports.check(house, files)
    house.check_replays(storm)
    check_files()


def test_each_reply_is_answered_once_and_in_order(make_house, tide):
    with echo_model() as model:
        house = make_house(ENGINE, **model.settings)
        storm = tide(house)

        replies = talks.run(house, storm, SEED, conversations=4, replies=2)
        settle(within_s=60)

        talks.check(house, replies)
        house.check_replays(storm)
    check_files()


def test_each_message_on_four_channels_is_heard_once_and_its_answer_sent_once(make_house, tell):
    with echo_model() as model, providers() as four:
        is_postgres = ENGINE == "postgres"
        house = make_house(ENGINE, environment="live", workers=int(is_postgres), **model.settings, **four.settings)

        written = letters.run(house, four, SEED, kills=5, gap=(2, 8), longest_s=10, least=2, settle_s=90)
        tell(str(written))

        letter_checks.check(house, written)
    check_files()


def test_campaign_contacts_each_recipient_once(make_house, tell):
    is_postgres = ENGINE == "postgres"
    house = make_house(ENGINE, workers=2 * is_postgres, serves_only=is_postgres)

    done = campaigns.run(house, SEED, recipients=150, kills=3, stops=2, within_s=60)
    tell(done)

    campaign_checks.check(house, done)
    house.check_replays(done.storm)
    check_files()
