"""What providers tell us: stored once, processed in order per contact, and what a lead says reaches the conversation.

    webhook → accept (stored, acknowledged) → the job `inbound` → lead, conversation, message → the agent's turn

The lead is locked before the conversation, and whoever may add a lead enters by the tenant's counter before both.
"""

from __future__ import annotations

from engine.inbound.accepting import Batch, accept, accept_all
from engine.inbound.playing import simulate

__all__ = ["Batch", "accept", "accept_all", "simulate"]
