"""A message on its way: the row that drives it, and what is known of it before anything is decided."""

from __future__ import annotations

from dataclasses import dataclass

from engine.channels import Channel
from engine.jobs.registry import Task
from storage import lead_merge
from storage.conversations import Conversation, Message
from storage.errors import NotFound
from storage.leads import Lead
from storage.tenancy import Tenant


@dataclass(frozen=True, slots=True)
class Way:
    """A queued message as it was read, outside any transaction. channel: None where none is configured."""

    task: Task
    message: Message
    conversation: Conversation
    channel: Channel | None

    @property
    def tenant(self) -> Tenant:
        """Whose message it is."""
        return self.task.tenant

    def held_lead(self) -> Lead | None:
        """The person, held until the caller's transaction ends; None where they were deleted."""
        try:
            return lead_merge.lock_lead_of(self.tenant, self.conversation)
        except NotFound:
            return None
