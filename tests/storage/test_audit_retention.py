"""Retention of the audit log: what is too old goes, and what stays is proven from a signed checkpoint on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine import audit as chain
from engine import vault
from storage import accounts, audit, audit_chain, clock, database
from storage.audit import AuditEntry
from storage.audit_chain import AuditChain, Broken, Checkpoint
from storage.tenancy import Actor

ADA = Actor("user", "u1", "Ada", ip="203.0.113.7", request_id="req-1")
DAYS = 30
FIRST, MIDDLE, LAST = "2026-03-10", "2026-03-14", "2026-03-16"  # of the entries
TODAY = "2026-04-13"  # DAYS after MIDDLE, which is therefore the first day that stays
ENTRIES, GONE = 7, 4

pytestmark = pytest.mark.usefixtures("secret_key")


@pytest.fixture
def at(monkeypatch):
    """Sets the clock."""

    def set_(moment):
        now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
        monkeypatch.setattr(clock, "now", lambda: now)

    return set_


@pytest.fixture
def keep():
    """Lets the tenant's account keep its log for so many days."""
    return lambda tenant, days=DAYS: accounts.get(tenant.account_id).store(
        settings={"retention": {"auditLogDays": days}}
    )


@pytest.fixture
def write(at):
    """Writes an entry of this moment; its id."""

    def write_(tenant, moment, name="p1"):
        at(moment)
        with database.transaction():
            return audit.record(tenant, ADA, "probe.made", name, {"day": moment})

    return write_


@pytest.fixture
def entries(tenant, keep, write, at):
    """The ids of the account's entries, one a day and sealed, at the day when the first of them have to go."""
    ids = [write(tenant, f"2026-03-{day}T12:00:00") for day in range(10, 10 + ENTRIES)]
    chain.seal(tenant.account_id)
    keep(tenant)
    at(TODAY)
    return ids


@pytest.fixture
def purged(entries):
    """The same after retention had its turn, and with what came after it."""
    chain.purge_all()
    chain.seal_all()
    return entries


def left(tenant):
    """The entries of the account in their order, without those about retention itself."""
    query = AuditEntry.of(tenant.account_id).where(AuditEntry.action != audit_chain.PURGED)
    return [row.id for row in query.order_by(AuditEntry.seq)]


def told(tenant):
    """What the log says of retention."""
    query = AuditEntry.of(tenant.account_id).where(AuditEntry.action == audit_chain.PURGED)
    return [row.metadata for row in query.order_by(AuditEntry.id)]


def state(tenant):
    """All that the database has of the account's log."""
    rows = [*AuditEntry.of(tenant.account_id).order_by(AuditEntry.id), *AuditChain.of(tenant.account_id)]
    return [row.__data__ for row in rows]


@pytest.mark.parametrize("time", ["00:00:00.000", "23:59:59.999"])
def test_what_is_older_goes_by_whole_days(tenant, keep, write, at, time):
    moments = ("2026-03-13T00:00:00", "2026-03-13T23:59:59.999", f"{MIDDLE}T00:00:00", f"{MIDDLE}T23:59:59.999")
    ids = [write(tenant, moment) for moment in moments]
    chain.seal_all()
    keep(tenant)
    at(f"{TODAY}T{time}")

    assert (chain.purge_all(), chain.purge_all()) == (2, 0)
    assert left(tenant) == ids[2:]


def test_rest_of_the_chain_holds_and_names_what_is_gone(tenant, purged, broken):
    verdict = chain.verify(tenant.account_id)

    assert left(tenant) == purged[GONE:]
    assert (verdict.first_broken, verdict.entries, verdict.is_signed) == (None, ENTRIES + 1, True)
    assert verdict.checkpoint == Checkpoint(GONE, verdict.checkpoint.hash, f"{TODAY}T00:00:00.000Z")
    assert told(tenant) == [{"entries": GONE, "through": GONE, "before": MIDDLE}]


def test_log_of_which_nothing_is_gone_has_no_checkpoint(tenant, entries):
    assert chain.verify(tenant.account_id).checkpoint is None


def test_several_purges_with_new_entries_in_between_hold(tenant, entries, write, broken, at):
    seen = []
    for day in range(13, 20):
        write(tenant, f"2026-04-{day}T12:00:00")
        chain.seal_all()
        seen.append((chain.purge_all(), broken()))

    assert seen == [(GONE, None), (1, None), (1, None), (1, None), (0, None), (0, None), (0, None)]
    assert AuditChain.of(tenant.account_id).get().gone_seq == ENTRIES


def test_log_can_go_to_its_last_entry_and_begin_anew(tenant, entries, write, broken, at):
    at("2027-01-01")
    assert (chain.purge_all(), left(tenant), broken()) == (ENTRIES, [], None)

    written = write(tenant, "2027-01-02")

    assert (broken(), left(tenant)) == (None, [written])


def test_backlog_goes_piece_by_piece(tenant, entries, broken, monkeypatch):
    monkeypatch.setattr(chain, "_AT_ONCE", 3)

    assert (chain.purge_all(), broken()) == (GONE, None)
    assert [each["through"] for each in told(tenant)] == [3, GONE]


def test_what_is_not_sealed_stays_however_old(tenant, keep, write, at):
    write(tenant, FIRST)
    keep(tenant)
    at(TODAY)

    assert chain.purge_all() == 0
    chain.seal_all()
    late = write(tenant, FIRST)
    at(TODAY)

    assert (chain.purge_all(), left(tenant)) == (1, [late])


@pytest.mark.parametrize("settings", [{}, {"retention": {}}, {"budgets": {"monthlyMessages": 1}}], ids=str)
def test_nothing_goes_while_no_retention_is_set(tenant, entries, settings):
    accounts.get(tenant.account_id).store(settings=settings)

    assert (chain.purge_all(), left(tenant)) == (0, entries)


def test_log_of_another_account_is_not_touched(tenant, other_tenant, entries, write, at, keep):
    for day in (FIRST, LAST):
        write(other_tenant, day)
    chain.seal_all()
    keep(other_tenant, 36_500)
    before = state(other_tenant)
    at(TODAY)

    assert (chain.purge_all(), state(other_tenant)) == (GONE, before)


def test_each_account_has_its_own_days(tenant, other_tenant, entries, write, at, keep):
    ids = [write(other_tenant, day) for day in (FIRST, LAST)]
    chain.seal_all()
    keep(other_tenant, 34)
    at(TODAY)

    chain.purge_all()

    assert (left(other_tenant), chain.verify(other_tenant.account_id).first_broken) == (ids, None)
    at("2026-04-14")
    assert (chain.purge_all(), left(other_tenant)) == (2, ids[1:])


def test_both_environments_of_the_account_are_one_log(tenant, entries, write, at, broken):
    other = accounts.tenant_row(tenant.account_id, "test").tenant
    write(other, "2026-03-17")
    chain.seal_all()
    at("2026-04-17")

    assert (chain.purge_all(), broken()) == (ENTRIES + 1, None)


@pytest.mark.parametrize("place", [(audit, "record"), (audit_chain, "_move")], ids=["before its entry", "at the note"])
def test_purge_that_breaks_off_removes_nothing(tenant, entries, monkeypatch, place):
    before = state(tenant)

    def fail(*_args, **_values):
        raise RuntimeError("the machine went away")

    with monkeypatch.context() as broken_off:
        broken_off.setattr(*place, fail)
        with pytest.raises(RuntimeError):
            chain.purge_all()

    assert state(tenant) == before
    assert chain.purge_all() == GONE


def test_log_that_was_changed_keeps_all_of_it(tenant, entries, by_hand, broken):
    by_hand("UPDATE audit_entry SET actor_id = 'u2' WHERE seq = 2")

    assert (chain.purge_all(), left(tenant), broken()) == (0, entries, Broken(2, "entry_changed", entries[1]))


@pytest.mark.parametrize("metadata", ["7", "[1]"])
def test_entry_that_was_edited_into_a_redaction_stops_no_other_account(
    tenant, other_tenant, keep, write, at, metadata, by_hand
):
    for each in (tenant, other_tenant):
        write(each, FIRST)
        keep(each)
    chain.seal_all()
    by_hand(
        "UPDATE audit_entry SET action = 'audit.redacted', metadata = ? WHERE account_id = ?",
        metadata,
        tenant.account_id,
    )
    at(TODAY)

    assert chain.purge_all() == 1


def test_edited_checkpoint_is_named(tenant, purged, try_out, by_hand):
    [(mac,)] = by_hand("SELECT gone_mac FROM audit_chain")
    forged = mac[:-1] + ("0" if mac[-1] != "0" else "1")
    values = {"gone_seq": [0, GONE - 1, GONE + 1], "gone_hash": ["", "edited"], "gone_at": ["", "2026-04-01"]}
    values |= {"gone_mac": [forged, "edited", None]}
    edits = [(name, value) for name in values for value in values[name]]

    found = [try_out(f"UPDATE audit_chain SET {name} = ?", value) for name, value in edits]

    assert {name for name in AuditChain._meta.fields if name.startswith("gone_")} == set(values)
    told = dict(zip(edits, [each and each.reason for each in found], strict=True))
    special = {("gone_mac", "edited"): "key_unknown", ("gone_mac", None): "checkpoint_unsigned"}
    assert told == dict.fromkeys(edits, "checkpoint_changed") | special


def test_checkpoint_that_was_taken_away_is_caught(purged, try_out):
    nothing = "UPDATE audit_chain SET gone_seq = 0, gone_hash = '', gone_at = '', gone_mac = NULL"

    assert try_out(nothing) == Broken(1, "entry_missing")


def test_checkpoint_that_was_made_up_is_caught(entries, try_out):
    cutting = "gone_seq = 2, gone_at = '2026-04-13', gone_hash = (SELECT hash FROM audit_entry WHERE seq = 2)"

    assert try_out(f"UPDATE audit_chain SET {cutting}") == Broken(2, "checkpoint_unsigned")


def test_one_more_entry_that_was_removed_is_caught(purged, by_hand, broken):
    by_hand("DELETE FROM audit_entry WHERE seq = ?", GONE + 1)

    assert broken() == Broken(GONE + 1, "entry_missing")


def test_edited_entry_after_the_checkpoint_is_caught(purged, by_hand, broken):
    by_hand("UPDATE audit_entry SET action = 'probe.lost' WHERE seq = ?", GONE + 1)

    assert broken() == Broken(GONE + 1, "entry_changed", purged[GONE])


def test_entries_that_come_back_are_caught(tenant, entries, by_hand, broken):
    [*rows, _] = state(tenant)
    chain.purge_all()
    AuditEntry.add(**{**rows[1], "metadata": {"day": "2026-03-11T12:00:00"}})

    assert broken() == Broken(2, "entry_unexpected", entries[1])


def test_entries_that_come_back_with_their_checkpoint_are_caught(tenant, entries, at, by_hand, broken):
    chain.purge_all()
    *rows, before = state(tenant)
    at("2026-04-14")
    chain.purge_all()
    AuditEntry.add(**rows[0])
    gone = {name: value for name, value in before.items() if name.startswith("gone_")}
    by_hand(f"UPDATE audit_chain SET {', '.join(f'{name} = ?' for name in gone)}", *gone.values())

    assert (rows[0]["seq"], broken()) == (GONE + 1, Broken(ENTRIES, "head_changed"))


def test_checkpoint_of_another_account_is_caught(tenant, other_tenant, purged, write, keep, at, by_hand, broken):
    write(other_tenant, FIRST)
    chain.seal_all()
    keep(other_tenant)
    at(TODAY)
    chain.purge_all()
    copied = ", ".join(
        f"{name} = (SELECT {name} FROM audit_chain WHERE account_id = '{other_tenant.account_id}')"
        for name in ("gone_seq", "gone_hash", "gone_at", "gone_mac")
    )
    by_hand(f"UPDATE audit_chain SET {copied} WHERE account_id = ?", tenant.account_id)

    assert broken() == Broken(1, "checkpoint_changed")


def test_new_entries_are_not_put_on_an_edited_checkpoint(tenant, purged, write, by_hand):
    by_hand("UPDATE audit_chain SET gone_hash = 'edited'")
    write(tenant, TODAY)

    assert (chain.seal_all(), chain.purge_all()) == (0, 0)


def test_redacted_entries_stay_explained(tenant, entries, at, broken):
    at("2026-03-17")
    audit_chain.redact(tenant, ADA, "probe", "p1")
    chain.seal_all()
    for day, gone in (("2026-04-13", GONE), ("2026-04-15", ENTRIES - 1), ("2026-04-16", ENTRIES)):
        at(day)
        chain.purge_all()
        assert (AuditChain.of(tenant.account_id).get().gone_seq, broken()) == (gone, None)

    at("2026-04-17")
    chain.purge_all()

    assert (broken(), told(tenant)[-1]["through"]) == (None, ENTRIES + 1)


def test_redaction_stays_as_long_as_what_it_names(tenant, write, keep, at, broken):
    ahead = write(tenant, LAST, "p2")  # by a host whose clock is ahead
    at(FIRST)
    audit_chain.redact(tenant, ADA, "probe", "p2")
    chain.seal_all()
    keep(tenant)

    at("2026-04-11")
    assert (chain.purge_all(), broken()) == (0, None)

    at("2026-04-16")
    assert (chain.purge_all(), broken(), ahead in left(tenant)) == (2, None, False)


def test_checkpoint_gets_the_signature_of_a_new_key(tenant, purged, secret_key, broken):
    new = "another key that is long enough to be one"
    vault.configure(new)
    assert broken() == Broken(GONE, "key_unknown")
    vault.configure(f"{new},{secret_key}")
    assert (broken(), chain.resign(), chain.resign()) == (None, 1, 0)

    vault.configure(new)

    assert broken() is None


def test_first_key_signs_a_checkpoint_when_told_to(tenant, entries, secret_key, broken):
    vault.configure(None)
    by = AuditChain.of(tenant.account_id).get()
    by.store(mac=None)
    chain.purge_all()
    assert (broken(), chain.verify(tenant.account_id).is_signed) == (None, False)
    vault.configure(secret_key)
    assert broken() == Broken(GONE, "checkpoint_unsigned")

    chain.resign()

    assert broken() is None


def test_edited_checkpoint_is_not_signed_anew(tenant, purged, by_hand, secret_key):
    by_hand("UPDATE audit_chain SET gone_at = ''")
    vault.configure(f"another key that is long enough to be one,{secret_key}")

    assert chain.resign() == 0


def test_verify_is_not_misled_by_a_purge_under_way(tenant, entries, monkeypatch):
    walk, turns = audit_chain._walk, iter([True, True])

    def walk_late(account_id):
        with monkeypatch.context() as purging:
            purging.setattr(audit_chain, "_walk", walk)
            if next(turns, False):
                audit_chain.purge(account_id, MIDDLE, 2, vault.chain_keys())
        return walk(account_id)

    monkeypatch.setattr(audit_chain, "_walk", walk_late)

    verdict = chain.verify(tenant.account_id)

    assert (verdict.first_broken, verdict.checkpoint.sequence) == (None, 4)
