"""Secrets at rest: they open for whom they were sealed, under the keys of the settings, and for nobody else."""

from __future__ import annotations

import dataclasses

import pytest

from engine import vault
from storage.errors import Blocked
from storage.tenancy import Tenant

TENANT = Tenant(1, "a" * 24, "live")
OWNER = "b" * 24
SECRETS = {"accessToken": "EAAG-token-of-an-example", "appSecret": "d41d8cd98f00b204"}
OLD, NEW = "the old key of some good length it has", "the new key of some good length it has"


@pytest.fixture(autouse=True)
def unset():
    yield
    vault.configure(None)


def refusal(sealed: str, tenant: Tenant = TENANT, owner: str = OWNER) -> str:
    with pytest.raises(Blocked) as refused:
        vault.open_(tenant, owner, sealed)
    assert not any(secret in str(refused.value) for secret in (*SECRETS.values(), OLD, NEW))
    return refused.value.code


def test_what_is_sealed_opens_again():
    vault.configure(OLD)

    assert vault.open_(TENANT, OWNER, vault.seal(TENANT, OWNER, SECRETS)) == SECRETS


def test_sealed_text_tells_nothing_and_is_never_the_same():
    vault.configure(OLD)

    first, second = (vault.seal(TENANT, OWNER, SECRETS) for _ in range(2))

    assert first != second
    assert not any(word in first for word in (*SECRETS, *SECRETS.values()))


def test_another_tenant_or_owner_opens_nothing():
    vault.configure(OLD)
    sealed = vault.seal(TENANT, OWNER, SECRETS)

    assert refusal(sealed, tenant=dataclasses.replace(TENANT, id=2)) == "secrets_damaged"
    assert refusal(sealed, owner="c" * 24) == "secrets_damaged"


@pytest.mark.parametrize("damage", ["", "x", "v1.", "v1.00000000.", "v2.00000000.aaaa"])
def test_text_that_was_never_sealed_is_damaged(damage):
    vault.configure(OLD)

    assert refusal(damage) == "secrets_damaged"


def test_changed_text_is_damaged():
    vault.configure(OLD)
    sealed = vault.seal(TENANT, OWNER, SECRETS)

    assert refusal(sealed[:40] + ("A" if sealed[40] != "A" else "B") + sealed[41:]) == "secrets_damaged"
    assert refusal(sealed[:-8]) == "secrets_damaged"


def test_another_key_is_told_as_such():
    vault.configure(OLD)
    sealed = vault.seal(TENANT, OWNER, SECRETS)

    vault.configure(NEW)

    assert refusal(sealed) == "secret_key_wrong"


def test_first_of_several_keys_seals_and_all_of_them_open():
    vault.configure(OLD)
    sealed = vault.seal(TENANT, OWNER, SECRETS)

    vault.configure(f" {NEW}, {OLD}")
    again = vault.seal(TENANT, OWNER, vault.open_(TENANT, OWNER, sealed))
    currents = vault.is_current(sealed), vault.is_current(again)
    vault.configure(NEW)

    assert currents == (False, True)
    assert vault.open_(TENANT, OWNER, again) == SECRETS


@pytest.mark.parametrize("key", [None, "", " , "])
def test_without_a_key_nothing_is_sealed_or_opened_and_the_fix_is_told(key):
    vault.configure(key)

    with pytest.raises(Blocked, match="Set NEWLEAF_SECRET_KEY") as refused:
        vault.seal(TENANT, OWNER, SECRETS)

    assert refused.value.code == refusal("v1.00000000.aaaa") == "secret_key_missing"
    assert vault.fingerprints("anything") == []


def test_short_key_is_refused_without_being_repeated():
    with pytest.raises(ValueError, match="at least 32 characters") as refused:
        vault.configure(f"{OLD},hunter2")

    assert "hunter2" not in str(refused.value)


def test_fingerprint_is_the_same_for_the_same_text_and_key():
    vault.configure(OLD)
    old = vault.fingerprints("a verify token")
    vault.configure(f"{NEW},{OLD}")

    new, again = vault.fingerprints("a verify token")

    assert [again] == old
    assert new != again
    assert "a verify token" not in new
