"""A wish for silence outlasts the person's data: their addresses stay behind as keyed digests, and nothing else.

The digests are asked whenever a message may go out, so no way to store a lead again can forget them.
"""

from __future__ import annotations

from engine import vault
from storage import identities, suppressions
from storage.leads import Lead
from storage.tenancy import Tenant


def outlast(tenant: Tenant, lead: Lead) -> bool:
    """Keep a held lead's wish for silence beyond its erasure; whether it has one.

    Raises Blocked: the lead has opted out, and the server has no key for digests.
    """
    if not lead.opted_out:
        return False
    vault.require_key()
    suppressions.keep(tenant, _digests(tenant, lead), lead.opted_out)
    return True


def kept_of(tenant: Tenant, lead: Lead) -> list[str]:
    """The channels on which somebody who had one of this lead's addresses and was erased wanted silence."""
    return suppressions.channels_of(tenant, _digests(tenant, lead)) if vault.is_configured() else []


def lift(tenant: Tenant, lead: Lead) -> None:
    """Forget what was kept, for the person wants to hear from the account again."""
    suppressions.lift(tenant, _digests(tenant, lead))


def _digests(tenant: Tenant, lead: Lead) -> list[str]:
    """Under every key of the server, so that a change of the key frees nobody."""
    names = [f"phone\n{lead.phone}"] if lead.phone else []
    if lead.email:
        names.append(f"email\n{lead.email.lower()}")
    names += [f"{channel}\n{address}" for channel, address in identities.all_of(tenant, lead.number)]
    return [digest for name in names for digest in vault.fingerprints(f"suppression\n{tenant.id}\n{name}")]
