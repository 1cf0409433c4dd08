"""The caller's team: members with their roles, and invitations."""

from __future__ import annotations

from typing import Any

from engine import team
from storage import clock, members
from storage.accounts import Member
from storage.members import Invitation
from storage.tenancy import Caller

from .answers import Answer, Page

Json = dict[str, Any]

_SUCCESS = {"success": True}
_DAYS = 7


def list_members(user: Caller, skip: int = 0, limit: int = 50, cursor: str | None = None) -> Page:
    """A page of members, the newest first."""
    rows, total, following = members.page(user.tenant.account_id, limit=limit, skip=skip, cursor=cursor)
    return Page([_member(row) for row in rows], total, following)


def get_member(user_id: str, user: Caller) -> Json:
    """One member. Raises NotFound."""
    return _member(members.get(user.tenant.account_id, user_id))


def change_member_roles(user_id: str, user: Caller, body: Json) -> Json:
    """Replace a member's roles. Raises NotFound, Forbidden, Conflict."""
    team.change_roles(user, user_id, body["roles"])
    return _SUCCESS


def remove_member(user_id: str, user: Caller) -> Json:
    """Take a member out of the team. Raises NotFound, Forbidden, Conflict."""
    team.remove(user, user_id)
    return _SUCCESS


def list_invitations(user: Caller, skip: int = 0, limit: int = 50, cursor: str | None = None) -> Page:
    """A page of invitations, the newest first."""
    rows, total, following = members.invitations(user.tenant.account_id, limit=limit, skip=skip, cursor=cursor)
    return Page([_invitation(row) for row in rows], total, following)


def create_invitation(user: Caller, body: Json) -> Answer:
    """A new invitation, and the only sight of its token. Raises Forbidden, Conflict."""
    made = team.invite(user, body["email"], body["roles"], body.get("expiresInDays", _DAYS))
    shown = {"token": made.token, "invitation": _invitation(made.row)}
    return Answer(shown, status=201, location=f"/api/accounts/current/invitations/{made.row.id}")


def get_invitation(id_: str, user: Caller) -> Json:
    """One invitation. Raises NotFound."""
    return _invitation(members.invitation(user.tenant.account_id, id_))


def revoke_invitation(id_: str, user: Caller) -> Json:
    """Take an invitation back. Raises NotFound, Forbidden."""
    team.revoke(user, id_)
    return _SUCCESS


def accept_invitation(invitation_token: str, body: Json) -> Answer:
    """The member that whoever has the token is from now on. Raises NotFound, Conflict."""
    member = team.accept(invitation_token, body.get("firstName", ""), body.get("lastName", ""))
    return Answer(_member(member), status=201, location=f"/api/accounts/current/members/{member.id}")


def _member(row: Member) -> Json:
    return {
        "_id": row.id,
        "clerkUserId": row.clerk_user_id,
        "email": row.email,
        "firstName": row.first_name,
        "lastName": row.last_name,
        "roles": row.roles,
    }


def _invitation(row: Invitation) -> Json:
    return {
        "_id": row.id,
        "email": row.email,
        "roles": row.roles,
        "status": "expired" if row.is_over(clock.now()) else "pending",
        "expiresAt": row.expires_at,
        "createdAt": row.created_at,
    }
