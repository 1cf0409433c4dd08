"""Members of an account, and the invitations by which people become members.

An invitation is open until it is accepted, revoked or replaced; then its row is gone and the audit log keeps what
happened. Of its token only the SHA-256 is stored.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from peewee import JSONField, ModelDelete, ModelSelect, TextField, fn

from . import clock
from .accounts import Member
from .base import AccountModel
from .errors import NotFound
from .ids import new_id
from .paging import paginate


class Invitation(AccountModel):
    """Somebody who may become a member, with these roles, until then."""

    email = TextField()  # as it is compared: in lower case
    roles = JSONField(default=list)
    token_hash = TextField()
    expires_at = TextField()
    created_at = TextField()

    def is_over(self, now: datetime) -> bool:
        """Whether it can be accepted no more."""
        return self.expires_at <= clock.iso(now)


class NewInvitation(NamedTuple):
    """An invitation just made: the only appearance of its token, and its row."""

    token: str
    row: Invitation


def page(
    account_id: str, *, limit: int, skip: int = 0, cursor: str | None = None
) -> tuple[list[Member], int, str | None]:
    """A page of members, the newest first: (members, how many there are, cursor of the next page or None)."""
    keys = [Member.created_at, Member.id]
    rows, following = paginate(Member.of(account_id), keys, order="members", limit=limit, skip=skip, cursor=cursor)
    return rows, Member.of(account_id).count(), following


def get(account_id: str, name: str) -> Member:
    """The member with this id, else the one whom the identity provider calls so. Raises NotFound."""
    query: Any = Member.of(account_id).where((Member.id == name) | (Member.clerk_user_id == name))
    found: list[Member] = list(query)
    if not found:
        raise NotFound("member_not_found", "Member not found")
    return next((member for member in found if member.id == name), found[0])


def owners(account_id: str) -> list[str]:
    """The ids of all owners; true until the account, if it is held, is let go."""
    everybody: Any = Member.of(account_id)
    return [member.id for member in everybody if "owner" in member.roles]


def is_member(account_id: str, email: str) -> bool:
    """Whether somebody with this address, in whatever case, is a member."""
    return bool(Member.of(account_id).where(fn.LOWER(Member.email) == email.lower()).exists())


def add(account_id: str, *, email: str, first_name: str, last_name: str, roles: Sequence[str]) -> Member:
    """Store a new member."""
    identity = new_id()
    return Member.add(
        account_id,
        id=identity,
        clerk_user_id=identity,
        email=email,
        first_name=first_name,
        last_name=last_name,
        roles=list(roles),
        created_at=clock.stamp(),
    )


def remove(member: Member) -> None:
    """Delete a member who was read before."""
    ModelDelete(Member).where((Member.account_id == member.account_id) & (Member.id == member.id)).execute()


def invitations(
    account_id: str, *, limit: int, skip: int = 0, cursor: str | None = None
) -> tuple[list[Invitation], int, str | None]:
    """A page of open and expired invitations, the newest first, as `page` answers."""
    keys = [Invitation.created_at, Invitation.id]
    rows, following = paginate(
        Invitation.of(account_id), keys, order="invitations", limit=limit, skip=skip, cursor=cursor
    )
    return rows, Invitation.of(account_id).count(), following


def invitation(account_id: str, identity: str) -> Invitation:
    """The invitation with this id. Raises NotFound."""
    return _found(Invitation.of(account_id).where(Invitation.id == identity).first())


def invitation_to(account_id: str, email: str) -> Invitation | None:
    """The invitation to this address, expired or not."""
    found: Invitation | None = Invitation.of(account_id).where(Invitation.email == email.lower()).first()
    return found


def invitation_with(token: str) -> Invitation:
    """The invitation that this token was made for: a digest is compared, so timing tells nothing. Raises NotFound."""
    query = ModelSelect(Invitation, Invitation._meta.sorted_fields)
    return _found(query.where(Invitation.token_hash == _digest(token)).first())


def invite(account_id: str, *, email: str, roles: Sequence[str], expires_at: datetime) -> NewInvitation:
    """Store an invitation under a new token."""
    token = f"inv_{secrets.token_urlsafe(32)}"  # the prefix tells a person, or a scanner of secrets, what was found
    row = Invitation.add(
        account_id,
        id=new_id(),
        email=email.lower(),
        roles=list(roles),
        token_hash=_digest(token),
        expires_at=clock.iso(expires_at),
        created_at=clock.stamp(),
    )
    return NewInvitation(token, row)


def drop(row: Invitation) -> bool:
    """Delete an invitation that was read before; False where somebody else did so first."""
    is_it = (Invitation.account_id == row.account_id) & (Invitation.id == row.id)
    return bool(ModelDelete(Invitation).where(is_it).execute())


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _found(row: Invitation | None) -> Invitation:
    if row is None:
        raise NotFound("invitation_not_found", "Invitation not found")
    return row
