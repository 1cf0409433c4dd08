"""Playing the lead's part, in the test environment only."""

from __future__ import annotations

from engine import compliance
from engine.channels import Event, Said, Sender
from engine.conversations import Changed, require_open
from engine.inbound.events import to_store
from engine.inbound.hearing import take_in
from storage import conversations, inbox
from storage.database import transaction
from storage.errors import Conflict
from storage.ids import new_id
from storage.tenancy import Tenant


def simulate(tenant: Tenant, conversation_oid: str, text: str) -> Changed:
    """Play the lead's part in a conversation of the test environment, the way a provider's event takes.

    Rings nobody: the caller works the lane. Raises NotFound, and Conflict in live or once the conversation has ended.
    """
    with transaction():
        lead_number = conversations.get(tenant, conversation_oid).lead_number
        if tenant.environment != "test":
            raise Conflict("live_environment", "Replies can be simulated in the test environment only. Use a test key.")
        lead = conversations.lock_lead(tenant, lead_number)
        conversation = conversations.lock(tenant, conversation_oid)
        require_open(conversation)
        said = Said(Sender((), lead.phone, lead.email, lead.name), text, provider_id=f"simulated-{new_id()}")
        event = to_store(Event(said.provider_id, str(lead_number), said))
        [row_id] = inbox.store(tenant, conversation.channel, [event]).values()
        changed = take_in(tenant, lead, conversation, said, wish=compliance.wish(text))
        inbox.settle(tenant, row_id, "done")
        return changed
