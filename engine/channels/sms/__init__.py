"""SMS through Twilio; and WhatsApp through Twilio, where the sender is a `whatsapp:` address.

Twilio has no idempotency key. Each message carries its id in the query of its status callback, and can be looked for
in the list of messages.
"""

from __future__ import annotations

from engine.channels.sms.reading import payload_of, read
from engine.channels.sms.signing import is_authentic, signature
from engine.channels.sms.twilio import Sms, connect

__all__ = ["Sms", "connect", "is_authentic", "payload_of", "read", "signature"]
