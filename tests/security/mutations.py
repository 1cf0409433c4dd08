"""The matrix is worth what it notices: each tenant condition is dropped once, and each time something must turn red.

A condition is dropped for the queries of one place only. First everything runs with all conditions in place, to learn
which operation comes past which place; then, place by place, these operations run again, until one of them notices.
Where no request can notice, because the query starts from a row that was read inside the tenant a moment ago, a probe
of the storage must.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import structlog

from server.contract import Operation
from server.settings import Settings
from storage import database
from tests.conftest import ENGINE, migrated, own_database
from tests.security import worlds
from tests.security.calls import all_operations
from tests.security.matrix import Matrix
from tests.security.probes import PROBES, Probe
from tests.security.sites import QUERIES, Position, Reached, Site, all_sites, watched
from tests.security.worlds import PAIRS, Pair
from tests.support.live_server import ROOT, serve_in_thread

# Two of the pairs come past every place: a test environment does all that a live one does, and more.
_PAIRS = PAIRS[1:]

# Conditions whose loss nothing can notice, each with the reason.
UNNOTICED = {
    "storage/analytics.py take_changes: AnalyticsChange.remove(tenant)": (
        "removes by row ids that were read inside the tenant a line before"
    ),
    "storage/lead_erasure.py erase: Conversation.remove(tenant)": (
        "removes by row ids that were read inside the tenant a moment ago"
    ),
    "storage/lead_erasure.py _erase_messages: DeliveryAttempt.remove(tenant)": (
        "removes by the row ids of messages that were read inside the tenant a line before"
    ),
    "storage/lead_erasure.py _erase_messages: Message.remove(tenant)": (
        "removes by row ids that were read inside the tenant a line before"
    ),
    "storage/members.py remove: Member.account_id == member.account_id": (
        "is the account of the very row that is named by its primary key"
    ),
    "storage/members.py drop: Invitation.account_id == row.account_id": (
        "is the account of the very row that is named by its primary key"
    ),
    "storage/knowledge_crawls.py list_pages: KnowledgeCrawlPage.change(tenant, anew)": (
        "changes pages by crawl and address, which one row alone can have: whose it is was asked before"
    ),
    "storage/lead_sync.py _meant: live(ANY_TENANT, Lead.number)": (
        "answers numbers alone: their leads are read inside the tenant, and one too many is meant by no item"
    ),
    "storage/lead_text_index.py after: Lead.of(ANY_TENANT, _negated(Lead.id))": (
        "answers how far an index of all tenants was read: what is found from there on is asked inside the tenant"
    ),
    "storage/leads.py enter: LeadCounter.tenant_id == slot('tenant')": (
        "takes a lock and reads nothing: with more rows than its own it would only make others wait"
    ),
}


class Laboratory:
    """A server in this process over a database of its own, whose conditions can be dropped."""

    def __init__(self, client: httpx.Client, reached: Reached) -> None:
        self._reached = reached
        self._dropped: Position | None = None
        self.matrix = Matrix(client, self._attack)
        self._seen: set[Position] = set()

    @contextmanager
    def _attack(self) -> Iterator[None]:
        self._reached.positions.clear()
        self._reached.dropped = self._dropped
        try:
            yield
        finally:
            self._reached.dropped = None
            tests = str(ROOT / "tests")
            self._seen = {position for position in self._reached.positions if not position[0].startswith(tests)}

    def passed_by(self, operation: Operation, pair: Pair) -> set[Position]:
        """The places that this operation comes past. Fails where the matrix does with all conditions in place."""
        findings = self.matrix.findings(operation, pair)
        assert "\n".join(map(str, findings)) == ""
        return self._seen

    def probed(self, probe: Probe) -> set[Position]:
        """The places that this probe comes past."""
        assert self._probe(probe) is None
        return self._seen

    def _probe(self, probe: Probe) -> str | None:
        world = worlds.make(_PAIRS[0])
        with self._attack():
            return probe(world)

    def is_noticed(self, site: Site, by: list[Any]) -> bool:
        """Whether one of these operations or probes turns red without the condition of this place."""
        self._dropped = site.position
        try:
            return any(self._turns_red(each) for each in by)
        finally:
            self._dropped = None

    def _turns_red(self, tried: Any) -> bool:
        empty()
        self.matrix.forget()
        if isinstance(tried, tuple):
            return bool(self.matrix.findings(*tried))
        try:
            return self._probe(tried) is not None
        except Exception:  # a test that crashes is red, too
            return True


def empty() -> None:
    """Take every row out of the database."""
    tables = sorted(set(database.database.get_tables()) - {"schema_migration"})
    if ENGINE == "postgres":
        database.database.execute_sql(f"TRUNCATE {', '.join(tables)} CASCADE")
        return
    with database.transaction():
        database.database.execute_sql("PRAGMA defer_foreign_keys = ON")
        for table in tables:
            if not table.startswith(("sqlite_", "lead_text")):  # the index of text follows the leads by itself
                database.database.execute_sql(f"DELETE FROM {table}")


@pytest.fixture
def laboratory(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Laboratory]:
    """The server runs as long as the test does, and says nothing of the crashes that are provoked."""
    if ENGINE == "sqlite":
        url = f"sqlite:///{tmp_path}/newleaf.db"
    else:
        url = own_database(request.getfixturevalue("postgres_url"), "newleaf_mutations")
    migrated(url)
    opened = database.connect(url)
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    settings = Settings(database_url=url, rate_limits="off")
    with (
        serve_in_thread(settings, with_worker=False) as base_url,
        httpx.Client(base_url=base_url, timeout=60, trust_env=False, verify=False) as client,
        watched() as reached,
        database.connection(),
    ):
        yield Laboratory(client, reached)
    structlog.configure(**before)
    opened.close_all()


def test_every_condition_that_is_dropped_is_noticed(laboratory: Laboratory) -> None:
    sites = {site.position: site for site in all_sites()}
    passing: dict[Position, list[Any]] = defaultdict(list)
    for probe in PROBES:  # first, for they are quick
        for position in laboratory.probed(probe):
            passing[position].append(probe)
    for operation in all_operations().values():
        for pair in _PAIRS:
            for position in laboratory.passed_by(operation, pair):
                passing[position].append((operation, pair))

    unnoticed = {site.name for site in sites.values() if not laboratory.is_noticed(site, passing[site.position])}

    assert passing.keys() <= sites.keys(), "queries come from places that the source does not show"
    assert unnoticed == UNNOTICED.keys()


def test_every_function_that_answers_a_query_exists() -> None:
    """A stale entry would hide the places that call a function of this name."""
    missing = [(file, name) for file, name in QUERIES if f"def {name}(" not in (ROOT / file).read_text()]

    assert missing == []
