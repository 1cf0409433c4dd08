"""Email through Resend, both ways.

Resend gives a sent email an id of its own, never the Message-ID that a reply will quote. Replies find their
conversation by the address they are sent to, `reply+<conversation>@<inbound domain>`, and by a root of the thread of
our own in `References`. An inbound event tells only that an email came: `fetch` gets what it says.
"""

from engine.channels.email.fetching import fetch
from engine.channels.email.reading import addresses, is_authentic, read
from engine.channels.email.sending import connect

__all__ = ["addresses", "connect", "fetch", "is_authentic", "read"]
