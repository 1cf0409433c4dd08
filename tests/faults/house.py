"""The place of a storm: an account on a server of its own, and what must be true of it whatever happened."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from storage import audit
from storage.database import connection, database, is_sqlite
from storage.leads import Lead, LeadCounter
from storage.tenancy import Tenant
from tests.faults.nursery import MortalServer, MortalWorker
from tests.faults.storm import Storm, StormClient, settle

_SETTLED_WITHIN_S = 180
_OF_THE_WORKER = {  # tables that say nothing of what was asked for, and change in the worker's own time
    "audit_chain",  # how far the log is sealed; its entries are counted
    "lead_text",  # SQLite's index of text, which cannot be counted either
}


@dataclass(frozen=True)
class House:
    """An account on a mortal server, to whose database this process is connected. workers: beside the server."""

    server: MortalServer
    tenant: Tenant
    api_key: str
    workers: Sequence[MortalWorker] = ()

    def calm_client(self) -> StormClient:
        """A client for fair weather."""
        return self.client(Storm(self.server, 0), "calm")

    def client(self, storm: Storm, seed: str, abandons: float = 0.0) -> StormClient:
        """A client that draws from this seed."""
        return StormClient(storm, self.server.base_url, self.api_key, Random(seed), abandons)

    def leads(self) -> list[Lead]:
        """All leads, in the order of their numbers."""
        with connection():
            return list(Lead.of(self.tenant).order_by(Lead.number))

    def audited(self, action: str) -> list[Any]:
        """The entries of this action in the account's log."""
        with connection():
            return list(audit.AuditEntry.of(self.tenant.account_id).where(audit.AuditEntry.action == action))

    def check_leads(self) -> list[Lead]:
        """Assert that no lead is there twice and that the counters equal the counts; returns all leads."""
        found = self.leads()
        with connection():
            counter = LeadCounter.get_by_id(self.tenant.id)
        assert [lead.number for lead in found] == list(range(1, len(found) + 1))
        assert (counter.live, counter.last_number) == (len(found), len(found))
        assert once(lead.phone for lead in found if lead.phone)
        assert once(lead.external_id for lead in found if lead.external_id is not None)
        return found

    def check_replays(self, storm: Storm) -> None:
        """Assert that each write, sent again, is answered byte for byte as it was, and changes nothing.

        What the writes left to the workers is done first, else that would be seen as a change.
        """
        settle(_SETTLED_WITHIN_S)
        before = self._fingerprint()
        with self.calm_client() as client:
            for write in storm.ledger:
                again = client.post(write.path, write.key, **write.content)
                assert again is not None
                assert again.headers["Idempotent-Replayed"] == "true"
                assert again.content == write.answer
        assert self._fingerprint() == before

    def _fingerprint(self) -> tuple[str, dict[str, int]]:
        """The leads to the letter, and how much there is of everything else."""
        leads = json.dumps([lead.__data__ for lead in self.leads()], sort_keys=True)
        with connection():
            tables = set(database.get_tables()) - _OF_THE_WORKER
            counts = {table: database.execute_sql(f'SELECT COUNT(*) FROM "{table}"').fetchone()[0] for table in tables}
        return hashlib.sha256(leads.encode()).hexdigest(), counts


def once(values: Any) -> bool:
    """Whether none of these is there twice."""
    return all(count == 1 for count in Counter(values).values())


def check_files() -> None:
    """Assert that SQLite's own check finds nothing; PostgreSQL has no such thing."""
    if is_sqlite():
        with connection():
            assert database.execute_sql("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert database.execute_sql("PRAGMA foreign_key_check").fetchall() == []
