"""Whose words these are: the lead by identity, then by phone, then by email; a new one where nobody is known."""

from __future__ import annotations

import re

from engine import phones
from engine.channels import Sender
from engine.privacy import silence
from storage import conversations, identities, leads
from storage.errors import Conflict
from storage.leads import Lead, LeadChanges, NewLead
from storage.tenancy import SYSTEM, Tenant

UNNAMED = "Unknown"
_LONGEST_NAME = 200  # as the contract has it
_LONGEST_EMAIL = 254
_LONGEST_IDENTITY = 320
_BY_PHONE = ("whatsapp", "sms")  # channels that call people by their phones
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_BARE_PHONE = re.compile(r"\+?[1-9][0-9]{6,14}")  # a business-scoped user id has digits too


def find(tenant: Tenant, channel: str, sender: Sender) -> int | None:
    """The number of the lead that this sender is, by what is committed now; None for somebody new."""
    lead = identities.owner(tenant, channel, _names(sender))
    if lead is None or lead.deleted_at is not None:
        phone = _phone(sender)
        lead = leads.find_by_phone(tenant, phone.e164) if phone else None
    if lead is None:
        lead = leads.find_by_email(tenant, _email(sender))
    return None if lead is None else int(lead.number)


def held(tenant: Tenant, channel: str, sender: Sender, number: int | None) -> Lead:
    """The lead that this sender is, held until the caller's transaction ends; a new one for somebody new.

    number: who it is as far as the caller found. What the channel tells of a lead and the lead lacks is filled in.
    Raises NotFound where the lead is deleted at this very moment.
    """
    if number is None:
        leads.enter(tenant)  # from here on no other channel can make this person a lead
        number = find(tenant, channel, sender) or _create(tenant, channel, sender)
    else:
        _complete(tenant, number, sender)
    lead = conversations.lock_lead(tenant, number)
    identities.add(tenant, number, channel, _names(sender))
    return lead


def _create(tenant: Tenant, channel: str, sender: Sender) -> int:
    phone = _phone(sender)
    new = NewLead(
        phone=phone.e164 if phone else "",
        phone_valid=phone is None or phone.valid,
        name=sender.name[:_LONGEST_NAME],
        email=_email(sender),
        source=channel,
    )
    number = int(leads.create(tenant, new, SYSTEM).number)
    former = identities.owner(tenant, channel, _names(sender))
    if former is not None:  # deleted, and back: what they asked for still holds
        identities.hand_over(tenant, former.number, number)
        conversations.lock_lead(tenant, number).store(opted_out=former.opted_out)
    else:
        _keep_silence(tenant, channel, sender, number)
    return number


def _keep_silence(tenant: Tenant, channel: str, sender: Sender, number: int) -> None:
    """Let somebody who wanted silence and was erased since begin as one who wants it."""
    identities.add(tenant, number, channel, _names(sender))
    lead = conversations.lock_lead(tenant, number)
    if wanted := silence.kept_of(tenant, lead):
        lead.store(opted_out=wanted)


def _complete(tenant: Tenant, number: int, sender: Sender) -> None:
    """Fill in what the lead lacks. Another lead's phone stays with that one: a person decides whether both are one."""
    lead, phone = leads.get(tenant, number), _phone(sender)
    changes: LeadChanges = {}
    if lead.name == UNNAMED and sender.name.strip():
        changes["name"] = sender.name[:_LONGEST_NAME]
    if not lead.email and _email(sender):
        changes["email"] = _email(sender)
    if not lead.phone and phone is not None and leads.find_by_phone(tenant, phone.e164) is None:
        changes["phone"], changes["phone_valid"] = phone.e164, phone.valid
    if not changes:
        return
    try:
        leads.update(tenant, number, changes, SYSTEM)
    except Conflict:  # the phone became another lead's a moment ago
        return


def rename(tenant: Tenant, channel: str, previous: str, current: str) -> bool:
    """Follow a channel that calls a lead differently now; False if it knows nobody by the old name.

    A lead whose phone was the old name gets the new one, if it is a phone and nobody else's: the old may be somebody
    else's tomorrow.
    """
    old, new = (_as_phone(name) if _BARE_PHONE.fullmatch(name) else None for name in (previous, current))
    leads.enter(tenant)
    number = identities.rename(tenant, channel, previous, current)
    by_phone = leads.find_by_phone(tenant, old.e164) if old and channel in _BY_PHONE else None
    if by_phone is None:
        return number is not None
    if new is not None and leads.find_by_phone(tenant, new.e164) is None:
        leads.update(tenant, by_phone.number, {"phone": new.e164, "phone_valid": new.valid}, SYSTEM)
    if number is None:
        identities.add(tenant, by_phone.number, channel, [current])
    return True


def _names(sender: Sender) -> list[str]:
    return [name for name in sender.identities if 0 < len(name) <= _LONGEST_IDENTITY]


def _email(sender: Sender) -> str:
    return sender.email if len(sender.email) <= _LONGEST_EMAIL and _EMAIL.fullmatch(sender.email) else ""


def _phone(sender: Sender) -> phones.Phone | None:
    return _as_phone(sender.phone)


def _as_phone(text: str) -> phones.Phone | None:
    if not text:
        return None
    try:
        return phones.normalize(text)
    except phones.PhoneError:
        return None
