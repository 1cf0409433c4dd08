"""WhatsApp through Meta's Cloud API (Graph).

What Meta accepts it has not delivered yet: statuses tell, by our own id, which travels as `biz_opaque_callback_data`.
Nothing tells whether a message whose answer was lost was taken, except those statuses.
"""

from __future__ import annotations

import hashlib
import hmac

from engine.channels import Credentials, Request
from engine.channels.whatsapp.graph import WhatsApp, connect
from engine.channels.whatsapp.reading import addresses, read
from engine.channels.whatsapp.templates import list_templates

__all__ = ["WhatsApp", "addresses", "connect", "is_authentic", "list_templates", "read", "signature"]


def signature(app_secret: str, body: bytes) -> str:
    """The value of the header `X-Hub-Signature-256` for a body."""
    return "sha256=" + hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()


def is_authentic(request: Request, credentials: Credentials) -> bool:
    """Whether the body is signed with the app secret; never where there is none."""
    app_secret = credentials.secrets.get("appSecret", "")
    given = request.headers.get("x-hub-signature-256", "")
    expected = signature(app_secret, request.body)
    return bool(app_secret) and hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())
