"""The team of an account: who is in it with which roles, and who may come.

Nobody gives or takes what they have not themselves: a key changes, invites or removes only people whose roles bundle
scopes that the key holds, all of them. The team belongs to the live environment, so a test key may look at it only.
The last owner stays. All changes hold the account, so that two of them at once cannot leave it without an owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from storage import accounts, audit, clock, members
from storage.accounts import Member
from storage.database import transaction
from storage.errors import Conflict, Forbidden, NotFound
from storage.members import Invitation, NewInvitation
from storage.roles import scopes_of
from storage.tenancy import Actor, Caller


def change_roles(caller: Caller, name: str, roles: Sequence[str]) -> None:
    """Give a member these roles instead of those that they have. Raises NotFound, Forbidden, Conflict."""
    account_id = caller.tenant.account_id
    with transaction():
        accounts.lock(account_id)
        member = members.get(account_id, name)
        _require_power(caller, set(roles) ^ set(member.roles))
        if "owner" not in roles:
            _require_another_owner(member)
        before = member.roles
        member.store(roles=list(roles))
        told = {"from": before, "to": list(roles)}
        audit.record(caller.tenant, caller.actor, "member.roles_changed", member.id, told)


def remove(caller: Caller, name: str) -> None:
    """Take a member out of the team. Raises NotFound, Forbidden, Conflict."""
    account_id = caller.tenant.account_id
    with transaction():
        accounts.lock(account_id)
        member = members.get(account_id, name)
        _require_power(caller, member.roles)
        _require_another_owner(member)
        members.remove(member)
        audit.record(caller.tenant, caller.actor, "member.removed", member.id, {"roles": member.roles})


def invite(caller: Caller, email: str, roles: Sequence[str], days: int) -> NewInvitation:
    """Invite somebody; an expired invitation to them is replaced. Raises Forbidden, Conflict."""
    account_id = caller.tenant.account_id
    with transaction():
        accounts.lock(account_id)
        _require_power(caller, roles)
        if members.is_member(account_id, email):
            raise Conflict("already_member", "This person is a member already. Change their roles instead.")
        earlier, now = members.invitation_to(account_id, email), clock.now()
        if earlier is not None:
            if not earlier.is_over(now):
                text = "This person is invited already. Revoke that invitation first."
                raise Conflict("already_invited", text, details=earlier.id)
            members.drop(earlier)
        made = members.invite(account_id, email=email, roles=roles, expires_at=now + timedelta(days=days))
        told = {"roles": list(roles), "expiresAt": made.row.expires_at}
        audit.record(caller.tenant, caller.actor, "invitation.created", made.row.id, told)
    return made


def revoke(caller: Caller, identity: str) -> None:
    """Take an invitation back. Raises NotFound, Forbidden."""
    account_id = caller.tenant.account_id
    with transaction():
        accounts.lock(account_id)
        row = members.invitation(account_id, identity)
        _require_power(caller, row.roles)
        members.drop(row)
        audit.record(caller.tenant, caller.actor, "invitation.revoked", row.id, {"roles": row.roles})


def accept(token: str, first_name: str, last_name: str) -> Member:
    """Make whoever has this token the member who was invited.

    Raises NotFound, the same for a token that is unknown, used, revoked or expired; Conflict if the address is a
    member's by now.
    """
    with transaction():
        row = members.invitation_with(token)
        accounts.lock(row.account_id)
        _take(row)
        if members.is_member(row.account_id, row.email):
            raise Conflict("already_member", "This person is a member already.")
        member = members.add(
            row.account_id, email=row.email, first_name=first_name, last_name=last_name, roles=row.roles
        )
        tenant = accounts.tenant_row(row.account_id, "live").tenant
        actor = Actor("user", member.id, f"{first_name} {last_name}".strip() or member.email)
        audit.record(tenant, actor, "member.joined", member.id, {"roles": row.roles, "invitationId": row.id})
    return member


def _take(row: Invitation) -> None:
    if row.is_over(clock.now()) or not members.drop(row):  # somebody may have been quicker
        raise NotFound("invitation_not_found", "Invitation not found")


def _require_power(caller: Caller, roles: Iterable[str]) -> None:
    """Raises Forbidden, naming the first scope of these roles that the caller lacks."""
    if caller.tenant.environment != "live":
        raise Forbidden("live_key_required", "Only a live key can change the team.")
    for scope in scopes_of(roles):
        if scope not in caller.scopes:
            raise Forbidden("scope_not_held", f"API key does not have the required scope (requires: {scope}).")


def _require_another_owner(member: Member) -> None:
    """Raises Conflict if this is the account's only owner."""
    if members.owners(member.account_id) == [member.id]:
        raise Conflict("last_owner", "An account keeps at least one owner. Make somebody else an owner first.")
