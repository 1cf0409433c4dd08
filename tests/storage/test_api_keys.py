import contextlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from storage import accounts, api_keys, clock
from storage.api_keys import ApiKey
from storage.audit import AuditEntry
from storage.database import connection
from storage.errors import Blocked, Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from storage.roles import SCOPES, scopes_of
from storage.tenancy import SYSTEM

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
UNKNOWN = "0" * 24


@pytest.fixture
def account(tenant):
    return accounts.get(tenant.account_id)


@pytest.fixture
def issue(account):
    """Make a key on any terms, an analyst's in live unless told otherwise."""

    def make(environment="live", *, of=account, **terms):
        terms = {"name": "CRM sync", "scopes": ["leads:view"], **terms}
        return api_keys.issue(accounts.tenant_row(of.id, environment).tenant, SYSTEM, **terms)

    return make


@pytest.fixture
def calling(issue):
    """Who calls with a new key of these scopes, an owner's unless told otherwise."""

    def call(environment="live", *, scopes=tuple(SCOPES), **terms):
        new = issue(environment, name=f"{environment} caller", scopes=scopes, **terms)
        return api_keys.authenticate(new.full_key, "192.0.2.1", "req-1")

    return call


@pytest.fixture
def queries(caplog):
    """What was sent to the database since `caplog` was last cleared."""
    caplog.set_level(logging.DEBUG, logger="peewee")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "peewee"]


def audit_of(account):
    return list(AuditEntry.of(account.id).order_by(AuditEntry.created_at, AuditEntry.id))


def names(rows):
    return [row.name for row in rows]


def last_used_at(new):
    return ApiKey.of(new.row.account_id).where(ApiKey.id == new.row.id).first().last_used_at


class TestForm:
    @pytest.mark.parametrize("environment", ["live", "test"])
    def test_generated_key_has_the_published_form_and_a_good_checksum(self, environment):
        key = api_keys.generate(environment)

        assert key.startswith(f"nl_{environment}_")
        assert len(key) == 72
        assert api_keys.checksum_ok(key)

    def test_two_generated_keys_differ(self):
        assert api_keys.generate("live") != api_keys.generate("live")

    @pytest.mark.parametrize(
        ("key", "is_ok"),
        [
            pytest.param("nl_test_" + "0" * 56 + "204550cf", True, id="zeros"),
            pytest.param("nl_live_" + "0123456789abcdef" * 3 + "01234567" + "49c60034", True, id="digits"),
            pytest.param("nl_live_" + "0" * 56 + "204550cf", False, id="the other environment's"),
            pytest.param("nl_test_" + "0" * 55 + "1" + "204550cf", False, id="typo in the body"),
            pytest.param("nl_test_" + "0" * 56 + "204550ce", False, id="typo in the checksum"),
            pytest.param("nl_test_" + "0" * 56 + "204550CF", False, id="upper case"),
            pytest.param("nl_test_" + "0" * 56 + "204550cf\n", False, id="line end"),
            pytest.param("nl_test_" + "0" * 55 + "204550cf", False, id="too short"),
            pytest.param("nl_prod_" + "0" * 56 + "204550cf", False, id="unknown prefix"),
            pytest.param("nl_test_" + "٠" * 56 + "204550cf", False, id="digits of another script"),
            pytest.param("", False, id="empty"),
        ],
    )
    def test_checksum(self, key, is_ok):
        assert api_keys.checksum_ok(key) is is_ok

    def test_only_the_digest_of_a_key_is_stored(self, issue):
        new = issue()

        stored = json.dumps(new.row.__data__)

        assert new.full_key not in stored
        assert new.row.key_hash == api_keys.hash_key(new.full_key)
        assert new.row.key_hint == new.full_key[-4:]


class TestAuthenticate:
    def test_good_key_tells_who_calls(self, account, issue):
        account.store(default_region="US")
        new = issue("test", scopes=["leads:view", "leads:import"], roles=["operator"])

        caller = api_keys.authenticate(new.full_key, "192.0.2.1", "req-1")

        assert caller.tenant == accounts.tenant_row(account.id, "test").tenant
        assert caller.scopes == {"leads:view", "leads:import"}
        assert caller.roles == ("operator",)
        assert caller.default_region == "US"
        assert (caller.actor.type, caller.actor.id, caller.actor.display_name) == ("api_key", new.row.id, "CRM sync")
        assert (caller.actor.ip, caller.actor.request_id) == ("192.0.2.1", "req-1")

    def test_key_and_account_are_one_query(self, issue, queries, caplog):
        new = issue()
        api_keys.touch(new.row.id, NOON)
        caplog.clear()

        api_keys.authenticate(new.full_key, None, None, now=NOON)

        assert len(queries()) == 1

    def test_typo_is_refused_without_the_database(self, issue, queries, caplog):
        key = issue().full_key
        caplog.clear()

        with pytest.raises(Unauthenticated):
            api_keys.authenticate(key[:-1] + ("0" if key[-1] != "0" else "1"), None, None)

        assert queries() == []

    def test_every_bad_key_is_refused_alike(self, calling, issue):
        owner = calling()
        revoked = issue()
        api_keys.revoke(owner, revoked.row.id)
        expired = issue(expires_at=clock.now() + timedelta(minutes=1))
        deleted = issue()
        api_keys.revoke(owner, deleted.row.id)
        api_keys.delete(owner, deleted.row.id)
        later = clock.now() + timedelta(minutes=2)

        refusals = set()
        bad = [api_keys.generate("live"), "nonsense", revoked.full_key, expired.full_key, deleted.full_key]
        for key in bad:
            with pytest.raises(Unauthenticated) as refusal:
                api_keys.authenticate(key, "192.0.2.1", None, now=later)
            refusals.add((refusal.value.code, refusal.value.message, refusal.value.details))

        assert refusals == {("invalid_api_key", "Invalid or expired API key", None)}

    def test_key_is_good_until_it_expires(self, issue):
        end = clock.now() + timedelta(hours=1)
        key = issue(expires_at=end).full_key

        api_keys.authenticate(key, None, None, now=end - timedelta(milliseconds=1))

        with pytest.raises(Unauthenticated):
            api_keys.authenticate(key, None, None, now=end)

    @pytest.mark.parametrize(
        ("allowlist", "address", "is_allowed"),
        [
            pytest.param([], "203.0.113.9", True, id="no list"),
            pytest.param(["192.0.2.7"], "192.0.2.7", True, id="single address"),
            pytest.param(["192.0.2.7"], "192.0.2.8", False, id="neighbour"),
            pytest.param(["192.0.2.0/24"], "192.0.2.255", True, id="range"),
            pytest.param(["192.0.2.7/24"], "192.0.2.255", True, id="range with host bits"),
            pytest.param(["192.0.2.0/24", "2001:db8::/32"], "2001:db8::1", True, id="second of two"),
            pytest.param(["192.0.2.0/24"], "::ffff:192.0.2.1", True, id="IPv4 on a dual-stack socket"),
            pytest.param(["0.0.0.0/0"], "2001:db8::1", False, id="other family"),
            pytest.param(["192.0.2.0/24"], None, False, id="unknown address"),
            pytest.param(["192.0.2.0/24"], "unknown", False, id="no address"),
        ],
    )
    def test_allowlist(self, issue, allowlist, address, is_allowed):
        key = issue(ip_allowlist=allowlist).full_key

        try:
            api_keys.authenticate(key, address, None)
        except Forbidden:
            assert not is_allowed
        else:
            assert is_allowed

    def test_use_is_noted_once_a_minute(self, issue):
        new = issue()

        api_keys.authenticate(new.full_key, None, None, now=NOON)
        api_keys.authenticate(new.full_key, None, None, now=NOON + timedelta(seconds=59))

        assert last_used_at(new) == "2026-06-01T12:00:00.000Z"

    def test_use_after_a_minute_is_noted_again(self, issue):
        new = issue()
        api_keys.authenticate(new.full_key, None, None, now=NOON)

        api_keys.authenticate(new.full_key, None, None, now=NOON + timedelta(seconds=60))

        assert last_used_at(new) == "2026-06-01T12:01:00.000Z"

    def test_late_note_of_an_earlier_use_changes_nothing(self, issue):
        new = issue()
        new.row.store(last_used_at="2026-06-01T12:00:01.000Z")

        api_keys.touch(new.row.id, NOON)

        assert last_used_at(new) == "2026-06-01T12:00:01.000Z"

    def test_refused_use_is_not_noted(self, issue):
        new = issue(ip_allowlist=["192.0.2.7"])

        with pytest.raises(Forbidden):
            api_keys.authenticate(new.full_key, "192.0.2.8", None)

        assert last_used_at(new) is None


class TestCreate:
    def test_created_key_has_what_was_asked_for(self, account, calling):
        new = api_keys.create(
            calling(),
            "test",
            name="Form",
            scopes=["leads:view"],
            ip_allowlist=["192.0.2.0/24"],
            expires_at="2099-01-01T01:00:00+01:00",
        )

        assert api_keys.authenticate(new.full_key, "192.0.2.1", None).scopes == {"leads:view"}
        assert new.row.tenant == accounts.tenant_row(account.id, "test").tenant
        assert new.row.expires_at == "2099-01-01T00:00:00.000Z"
        assert new.row.roles == []

    def test_scope_that_the_caller_lacks_is_refused_by_name(self, calling):
        integrator = calling(scopes=scopes_of(["integrator"]))

        with pytest.raises(Forbidden, match=r"required scope \(requires: leads:view\)\.$") as refusal:
            api_keys.create(integrator, "live", name="n", scopes=["leads:sync_create", "leads:view"])

        assert refusal.value.code == "scope_not_held"

    def test_test_key_makes_only_test_keys(self, calling):
        with pytest.raises(Forbidden):
            api_keys.create(calling("test"), "live", name="n", scopes=["leads:view"])

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("2020-01-01T00:00:00Z", "expires_in_past"),
            ("2098-12-31T23:59:60Z", "expires_at_unusable"),
            ("9999-12-31T23:59:59-14:00", "expires_at_unusable"),
            ("0001-01-01T00:00:00+14:00", "expires_at_unusable"),
        ],
        ids=["past", "leap second", "after all years", "before all years"],
    )
    def test_expiry_that_cannot_be_is_refused(self, calling, text, code):
        with pytest.raises(Blocked) as refusal:
            api_keys.create(calling(), "live", name="n", scopes=["leads:view"], expires_at=text)

        assert refusal.value.code == code

    def test_operator_cannot_issue_what_does_not_exist(self, issue):
        with pytest.raises(Invalid) as refusal:
            issue(scopes=["leads:view", "leads:sing"], ip_allowlist=["192.0.2.0/33"])

        assert [problem.path for problem in refusal.value.problems] == ["/scopes/1", "/ipAllowlist/0"]


class TestVisibility:
    def test_live_key_sees_both_environments_newest_first(self, calling, issue):
        owner = calling()
        issue("test", name="second")
        issue("live", name="third")

        rows, total, cursor = api_keys.page(owner, limit=50)

        assert names(rows) == ["third", "second", "live caller"]
        assert (total, cursor) == (3, None)

    def test_test_key_sees_only_test_keys(self, calling, issue):
        live = issue("live")
        tester = calling("test")

        rows, total, _ = api_keys.page(tester, limit=50)

        assert (names(rows), total) == (["test caller"], 1)
        with pytest.raises(NotFound):
            api_keys.get(tester, live.row.id)

    @pytest.mark.parametrize("act", [api_keys.get, api_keys.revoke, api_keys.rotate, api_keys.delete])
    def test_foreign_unknown_and_live_keys_are_not_found_alike(self, act, calling, issue):
        foreign = issue(of=accounts.create("Other"))
        live = issue("live")
        tester = calling("test")

        for key_id in (foreign.row.id, live.row.id, UNKNOWN):
            with pytest.raises(NotFound) as refusal:
                act(tester, key_id)
            assert (refusal.value.code, refusal.value.message) == ("api_key_not_found", "API key not found")

    def test_pages_join_without_gap_or_repeat(self, calling, issue):
        owner = calling()
        for number in range(4):
            issue(name=f"key {number}")

        first, total, cursor = api_keys.page(owner, limit=3)
        second, _, end = api_keys.page(owner, limit=3, cursor=cursor)

        assert names(first + second) == ["key 3", "key 2", "key 1", "key 0", "live caller"]
        assert (total, end) == (5, None)


class TestRevoke:
    def test_revoked_key_is_refused_from_then_on(self, calling, issue):
        new = issue()

        row = api_keys.revoke(calling(), new.row.id)

        assert row.status_at(NOON) == "revoked"
        with pytest.raises(Unauthenticated):
            api_keys.authenticate(new.full_key, None, None)

    def test_revoking_again_changes_and_tells_nothing(self, account, calling, issue):
        owner, new = calling(), issue()
        first = api_keys.revoke(owner, new.row.id)
        entries = len(audit_of(account))

        again = api_keys.revoke(owner, new.row.id)

        assert again.__data__ == first.__data__
        assert len(audit_of(account)) == entries

    def test_expired_key_can_be_revoked(self, calling, issue):
        new = issue()
        new.row.store(expires_at=clock.iso(NOON))

        assert api_keys.revoke(calling(), new.row.id).status_at(clock.now()) == "revoked"


class TestRotate:
    def test_new_key_takes_the_terms_and_the_old_one_ends(self, calling, issue):
        old = issue("test", roles=["analyst"], ip_allowlist=["192.0.2.0/24"])

        new = api_keys.rotate(calling(), old.row.id)

        for term in ("name", "scopes", "roles", "ip_allowlist", "expires_at", "tenant"):
            assert getattr(new.row, term) == getattr(old.row, term)
        assert new.full_key.startswith("nl_test_")
        api_keys.authenticate(new.full_key, "192.0.2.1", None)
        with pytest.raises(Unauthenticated):
            api_keys.authenticate(old.full_key, "192.0.2.1", None)

    def test_key_for_ninety_days_is_followed_by_a_key_for_ninety_days(self, calling, issue):
        old = issue()
        created_at = clock.now() - timedelta(days=89)
        old.row.store(created_at=clock.iso(created_at), expires_at=clock.iso(created_at + timedelta(days=90)))

        new = api_keys.rotate(calling(), old.row.id)

        assert clock.parse(new.row.expires_at) - clock.parse(new.row.created_at) == timedelta(days=90)

    def test_key_for_all_time_to_come_keeps_its_end(self, calling, issue):
        old = issue(expires_at=clock.parse("9999-12-31T00:00:00Z"))
        old.row.store(created_at="2020-01-01T00:00:00.000Z")

        assert api_keys.rotate(calling(), old.row.id).row.expires_at == "9999-12-31T00:00:00.000Z"

    def test_overlap_keeps_the_old_key_for_that_long(self, calling, issue):
        old = issue()

        api_keys.rotate(calling(), old.row.id, overlap_s=3600)

        within, after = clock.now() + timedelta(minutes=59), clock.now() + timedelta(minutes=61)
        assert api_keys.authenticate(old.full_key, None, None, now=within)
        with pytest.raises(Unauthenticated):
            api_keys.authenticate(old.full_key, None, None, now=after)

    def test_overlap_never_prolongs_a_key(self, calling, issue):
        old = issue(expires_at=clock.now() + timedelta(minutes=1))
        owner = calling()

        api_keys.rotate(owner, old.row.id, overlap_s=3600)

        assert api_keys.get(owner, old.row.id).expires_at == old.row.expires_at

    def test_key_can_rotate_itself(self, calling):
        owner = calling()

        new = api_keys.rotate(owner, owner.key_id)

        assert api_keys.authenticate(new.full_key, None, None).scopes == owner.scopes

    def test_key_that_can_do_more_than_the_caller_is_refused(self, calling, issue):
        new = issue(scopes=["leads:view", "account:edit"])
        lesser = calling(scopes=["leads:view", "api_keys:manage"])

        with pytest.raises(Forbidden, match="requires: account:edit"):
            api_keys.rotate(lesser, new.row.id)

        assert api_keys.authenticate(new.full_key, None, None)

    def test_revoked_key_cannot_be_rotated(self, calling, issue):
        owner, new = calling(), issue()
        api_keys.revoke(owner, new.row.id)

        with pytest.raises(Conflict):
            api_keys.rotate(owner, new.row.id)

    def test_expired_key_cannot_be_rotated(self, calling, issue):
        new = issue()
        new.row.store(expires_at=clock.iso(NOON))

        with pytest.raises(Conflict) as refusal:
            api_keys.rotate(calling(), new.row.id, overlap_s=60)

        assert refusal.value.code == "api_key_not_active"

    def test_key_rotated_by_many_at_once_is_replaced_once(self, calling, issue):
        owner, old = calling(), issue()

        def rotate(_):
            with connection(), contextlib.suppress(Conflict):
                return api_keys.rotate(owner, old.row.id)

        with ThreadPoolExecutor(4) as pool:
            made = [new for new in pool.map(rotate, range(4)) if new]

        assert len(made) == 1
        assert api_keys.page(owner, limit=50)[1] == 3

    def test_failed_rotation_leaves_the_old_key_and_no_new_one(self, calling, issue, monkeypatch):
        owner, old = calling(), issue()
        monkeypatch.setattr("storage.api_keys.audit.record", lambda *_: 1 / 0)

        with pytest.raises(ZeroDivisionError):
            api_keys.rotate(owner, old.row.id)

        assert api_keys.authenticate(old.full_key, None, None)
        assert api_keys.page(owner, limit=50)[1] == 2


class TestDelete:
    def test_revoked_key_is_gone(self, calling, issue):
        owner, new = calling(), issue()
        api_keys.revoke(owner, new.row.id)

        api_keys.delete(owner, new.row.id)

        with pytest.raises(NotFound):
            api_keys.get(owner, new.row.id)

    def test_key_that_is_not_revoked_stays(self, calling, issue):
        owner, new = calling(), issue()

        with pytest.raises(Conflict) as refusal:
            api_keys.delete(owner, new.row.id)

        assert refusal.value.code == "api_key_not_revoked"
        assert api_keys.get(owner, new.row.id)


class TestAudit:
    def test_life_of_a_key_is_told_with_its_actor(self, account, calling):
        owner = calling()
        old = api_keys.create(owner, "test", name="Form", scopes=["leads:view"])
        new = api_keys.rotate(owner, old.row.id)
        api_keys.delete(owner, old.row.id)

        told = [(entry.action, entry.resource_id, entry.environment) for entry in audit_of(account)[1:]]

        assert told == [
            ("api_key.created", old.row.id, "test"),
            ("api_key.created", new.row.id, "test"),
            ("api_key.rotated", old.row.id, "test"),
            ("api_key.deleted", old.row.id, "test"),
        ]
        assert {entry.actor_id for entry in audit_of(account)[1:]} == {owner.key_id}
        assert audit_of(account)[3].metadata == {"name": "Form", "replacedBy": new.row.id, "overlapSeconds": 0}

    def test_no_entry_holds_a_secret(self, account, calling):
        owner = calling()
        created = api_keys.create(owner, "live", name="n", scopes=["leads:view"])
        rotated = api_keys.rotate(owner, created.row.id)
        api_keys.revoke(owner, rotated.row.id)

        told = json.dumps([entry.__data__ for entry in audit_of(account)])

        for new in (created, rotated):
            assert new.full_key[8:] not in told
            assert new.row.key_hash not in told
