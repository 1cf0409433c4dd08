"""A message in the fields of Twilio's form."""

from __future__ import annotations

import json

from engine.channels import Outgoing, Undeliverable
from engine.channels.sms.reading import WHATSAPP
from engine.channels.wording import with_choices

_CONTENT = "HX"  # how the SIDs of Twilio's content templates begin


def content_of(message: Outgoing) -> dict[str, str]:
    """What is said: a content template of Twilio's by its SID, else the text. Raises Undeliverable for nothing."""
    template = message.template
    if template is not None and template.name.startswith(_CONTENT):
        values = {str(place): value for place, value in enumerate(template.parameters, 1)}
        return {"ContentSid": template.name, "ContentVariables": json.dumps(values)}
    words = words_of(message)
    if not words.strip():
        raise Undeliverable("sms_empty", "There is no text to send.")
    return {"Body": words}


def words_of(message: Outgoing) -> str:
    """The text that Twilio gets; "" where it makes it itself, from a content template."""
    if message.template is not None and message.template.name.startswith(_CONTENT):
        return ""
    return with_choices(message.text, [title for title in map(str.strip, message.buttons) if title])


def recipient_of(message: Outgoing, *, is_on_whatsapp: bool) -> str:
    """The number, with its prefix on WhatsApp; else what Twilio calls the person. Raises Undeliverable."""
    if message.phone:
        return f"{WHATSAPP}{message.phone}" if is_on_whatsapp else message.phone
    for name in message.identities:
        if name.startswith(WHATSAPP if is_on_whatsapp else "+"):
            return name
    raise Undeliverable("sms_no_recipient", "No phone number of this person is known.")
