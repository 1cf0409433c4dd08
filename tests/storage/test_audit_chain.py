"""The audit log as a chain: whatever is changed by hand is noticed and named, whatever newleaf does is not."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from engine import audit as chain
from engine import vault
from storage import accounts, audit, audit_chain, database
from storage.audit import AuditEntry
from storage.audit_chain import AuditChain, Broken
from storage.base import AccountModel
from storage.ids import new_id
from storage.tenancy import Actor, Tenant

ADA = Actor("user", "u1", "Ada", ip="203.0.113.7", request_id="req-1")
ENTRIES = 5
COLUMNS = [column.name for column in AuditEntry._meta.sorted_fields]
HEAD = [column.name for column in AuditChain._meta.sorted_fields]

pytestmark = pytest.mark.usefixtures("secret_key")


def write(tenant: Tenant, number: int, **metadata: Any) -> str:
    with database.transaction():
        return audit.record(tenant, ADA, "probe.made", f"p{number}", {"n": number, "z": 1.5, "a": "é", **metadata})


@pytest.fixture
def entries(tenant) -> list[str]:
    """The ids of some entries that are sealed, in the order of the chain."""
    for number in range(ENTRIES):
        write(tenant, number)
    chain.seal(tenant.account_id)
    return [row.id for row in AuditEntry.of(tenant.account_id).order_by(AuditEntry.seq)]


def test_every_column_is_covered() -> None:
    assert {*audit_chain.COVERED, *audit_chain.PERSONAL, "seq", "hash", "salt", "digests"} == set(COLUMNS)


def test_log_that_nobody_touched_holds(tenant, entries):
    write(tenant, 9)

    verdict = chain.verify(tenant.account_id)

    assert (verdict.entries, verdict.is_signed, verdict.first_broken) == (ENTRIES + 1, True, None)
    assert verdict.head_hash == AuditEntry.of(tenant.account_id).where(AuditEntry.seq == ENTRIES + 1).get().hash


def _edited(column: str, other: str) -> Any:
    special = {"account_id": other, "id": new_id(), "metadata": '{"n": 2}', "seq": ENTRIES + 7, "environment": "test"}
    return special.get(column, "edited")


def test_edited_column_is_caught(try_out, entries, other_tenant):
    values = {name: _edited(name, other_tenant.account_id) for name in COLUMNS}

    found = {name: try_out(f"UPDATE audit_entry SET {name} = ? WHERE seq = 3", values[name]) for name in values}

    assert {each.sequence for each in found.values()} == {3}
    reasons = {"account_id": "entry_missing", "seq": "entry_missing", "digests": "redaction_unknown"}
    assert {name: each.reason for name, each in found.items()} == dict.fromkeys(COLUMNS, "entry_changed") | reasons


@pytest.mark.parametrize("metadata", ["7", "[1]", '{"entries": 7}'])
def test_redaction_that_was_edited_into_something_else_is_caught(by_hand, tenant, entries, broken, metadata):
    audit_chain.redact(tenant, ADA, "probe", "p2")
    by_hand("UPDATE audit_entry SET metadata = ? WHERE action = 'audit.redacted'", metadata)

    assert broken() == Broken(3, "redaction_unknown", entries[2])


def test_last_entry_that_cannot_be_read_is_caught(by_hand, tenant, entries, broken):
    unread = "no JSON" if database.is_sqlite() else "7"  # PostgreSQL takes nothing else into such a column
    by_hand("UPDATE audit_entry SET metadata = ? WHERE seq = ?", unread, ENTRIES)
    write(tenant, 9)

    assert broken() == Broken(ENTRIES, "entry_changed", entries[-1])


def test_emptied_column_is_caught(try_out, entries):
    names = [name for name in COLUMNS if AuditEntry._meta.fields[name].null and name != "digests"]

    found = {name: try_out(f"UPDATE audit_entry SET {name} = NULL WHERE seq = 3") for name in names}

    assert {name: each and each.sequence for name, each in found.items()} == dict.fromkeys(names, 3)


def test_edited_head_is_caught(try_out, entries, tenant, other_tenant):
    values = dict.fromkeys(HEAD, "edited") | {"account_id": other_tenant.account_id, "seq": ENTRIES - 1, "gone_seq": 1}
    edit = "UPDATE audit_chain SET {} = ? WHERE account_id = ?"

    found = {name: try_out(edit.format(name), value, tenant.account_id) for name, value in values.items()}

    assert {name for name, each in found.items() if each is None} == set()


def test_deleted_entry_is_caught(by_hand, entries, broken):
    by_hand("DELETE FROM audit_entry WHERE id = ?", entries[1])

    assert broken() == Broken(2, "entry_missing")


def test_inserted_entry_is_caught(try_out, entries):
    columns = ", ".join(name for name in COLUMNS if name not in ("id", "seq"))
    insert = "INSERT INTO audit_entry (id, seq, {0}) SELECT 'new', {1}, {0} FROM audit_entry LIMIT 1"

    found = [try_out(insert.format(columns, seq)) for seq in (-1, 0, ENTRIES + 1)]

    assert found == [Broken(seq, "entry_unexpected", "new") for seq in (-1, 0, ENTRIES + 1)]


def test_swapped_entries_are_caught(by_hand, entries, broken):
    for name, seq in ((entries[1], 99), (entries[2], 2), (entries[1], 3)):
        by_hand("UPDATE audit_entry SET seq = ? WHERE id = ?", seq, name)

    assert broken() == Broken(2, "entry_changed", entries[2])


def test_tail_cut_off_is_caught(by_hand, entries, broken):
    by_hand("DELETE FROM audit_entry WHERE seq > 3")

    assert broken() == Broken(4, "entry_missing")


def test_tail_cut_off_is_caught_though_the_head_was_set_back(by_hand, tenant, entries, broken):
    by_hand("DELETE FROM audit_entry WHERE seq > 3")
    by_hand("UPDATE audit_chain SET seq = 3, hash = (SELECT hash FROM audit_entry WHERE seq = 3)")
    write(tenant, 9)

    assert broken() == Broken(3, "head_changed")
    assert AuditEntry.of(tenant.account_id).where(AuditEntry.seq.is_null()).count() == 1  # nothing was put on top


def test_hashes_computed_anew_are_caught(by_hand, tenant, entries, broken):
    by_hand("UPDATE audit_entry SET actor_id = 'u2' WHERE seq = 2")
    by_hand("UPDATE audit_entry SET seq = NULL, hash = NULL")
    by_hand("UPDATE audit_chain SET seq = 0, hash = '', mac = NULL")
    vault.configure(None)
    chain.seal(tenant.account_id)
    vault.configure("the key that the server has and the database has not")

    assert broken().reason == "head_unsigned"


def test_removed_head_is_caught(by_hand, tenant, entries, broken):
    by_hand("DELETE FROM audit_chain")
    write(tenant, 9)

    assert broken().reason in ("head_changed", "entry_unexpected")


def test_redacted_entries_hold_and_say_nothing(tenant, entries, broken):
    write(tenant, 2, name="Grace")

    done = audit_chain.redact(tenant, ADA, "probe", "p2")

    blank = [row for row in AuditEntry.of(tenant.account_id).where(AuditEntry.resource_id == "p2") if row.id in done]
    assert {(row.actor_name, row.actor_ip, row.salt, str(row.metadata)) for row in blank} == {("", None, None, "{}")}
    assert (len(done), broken()) == (2, None)
    told = AuditEntry.of(tenant.account_id).where(AuditEntry.action == "audit.redacted").get()
    assert (told.metadata["entries"], told.seq) == (done, ENTRIES + 2)


def test_redacting_twice_and_in_another_environment_does_nothing(tenant, entries):
    audit_chain.redact(tenant, ADA, "probe", "p2")

    other = accounts.tenant_row(tenant.account_id, "test").tenant
    assert audit_chain.redact(tenant, ADA, "probe", "p2") == audit_chain.redact(other, ADA, "probe", "p1") == []


def test_blanked_by_hand_is_caught(by_hand, tenant, entries, broken):
    [row] = audit_chain._read(AuditEntry.of(tenant.account_id).where(AuditEntry.id == entries[2]))
    blanking = "UPDATE audit_entry SET metadata = '{}', actor_name = '', actor_ip = NULL, salt = NULL, digests = ?"
    audit_chain.redact(tenant, ADA, "probe", "p1")
    by = AuditEntry.of(tenant.account_id).where(AuditEntry.action == "audit.redacted").get().id
    by_hand(f"{blanking} WHERE id = ?", json.dumps({**audit_chain._digests(row), "by": by}), entries[2])

    assert broken() == Broken(3, "redaction_unknown", entries[2])


def test_redacted_entry_that_is_filled_again_is_caught(by_hand, tenant, entries, broken):
    audit_chain.redact(tenant, ADA, "probe", "p2")
    by_hand("UPDATE audit_entry SET actor_name = 'Grace' WHERE id = ?", entries[2])

    assert broken() == Broken(3, "entry_changed", entries[2])


def test_entries_from_before_the_chain_are_sealed_and_can_be_redacted(by_hand, tenant, broken):
    for number in range(3):
        write(tenant, number)
    by_hand("UPDATE audit_entry SET salt = NULL")

    audit_chain.redact(tenant, ADA, "probe", "p1")

    assert (broken(), chain.verify(tenant.account_id).entries) == (None, 4)
    assert AuditEntry.of(tenant.account_id).where(AuditEntry.salt.is_null()).count() == 1  # the redacted one


def test_walk_goes_on_where_a_chunk_ended(tenant, entries, broken, monkeypatch, by_hand):
    monkeypatch.setattr(audit_chain, "_CHUNK", 2)
    assert broken() is None

    by_hand("UPDATE audit_entry SET action = 'probe.lost' WHERE seq = 5")

    assert broken() == Broken(5, "entry_changed", entries[4])


def test_two_sealers_at_once_make_one_chain(tenant, broken):
    for number in range(60):
        write(tenant, number)

    def seal() -> None:
        with database.connection():
            while audit_chain.seal(tenant.account_id, 7, vault.chain_keys()):
                pass

    sealers = [threading.Thread(target=seal) for _ in range(3)]
    for each in sealers:
        each.start()
    for each in sealers:
        each.join()

    assert (broken(), chain.verify(tenant.account_id).entries) == (None, 60)


def test_round_seals_every_account(tenant, other_tenant):
    write(tenant, 1)
    write(other_tenant, 2)

    assert (chain.seal_all(), chain.seal_all()) == (2, 0)


def test_new_key_signs_heads_anew_and_the_old_one_can_go(tenant, entries, broken):
    vault.configure("another key that is long enough to be one")
    assert broken() == Broken(ENTRIES, "key_unknown")
    vault.configure("another key that is long enough to be one,a key of the tests alone and long enough to be one")
    assert (broken(), chain.resign(), chain.resign()) == (None, 1, 0)

    vault.configure("another key that is long enough to be one")

    assert broken() is None


def test_first_key_signs_what_was_unsigned_when_told_to(tenant, secret_key, broken):
    vault.configure(None)
    write(tenant, 1)
    assert (broken(), chain.verify(tenant.account_id).is_signed) == (None, False)
    vault.configure(secret_key)
    assert broken() == Broken(1, "head_unsigned")

    chain.resign()

    assert (broken(), chain.verify(tenant.account_id).is_signed) == (None, True)


def test_head_that_was_edited_is_not_signed_anew(tenant, entries, by_hand, broken):
    by_hand("UPDATE audit_chain SET seq = 3")
    vault.configure("another key that is long enough to be one,a key of the tests alone and long enough to be one")

    assert chain.resign() == 0


def test_chain_belongs_to_an_account() -> None:
    assert issubclass(AuditChain, AccountModel)
