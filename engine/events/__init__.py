"""Outbound events: what happens is written down where it happens, and told to those who subscribed to it.

    emit (in the transaction of the fact) → event, delivery, outbox row → the job `send_event` → attempts

`emit(tenant, type, data, lead=…)` costs one look into an index where nobody wants the event, and makes no body.
"""

from __future__ import annotations

from engine.jobs import doorbell
from storage.event_log import announce_to, emit, emit_all

announce_to(doorbell.ring)

__all__ = ["emit", "emit_all"]
