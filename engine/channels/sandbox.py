"""The channel of the test environment: every message arrives at once, nowhere."""

from __future__ import annotations

from datetime import datetime

from engine.channels import Health, Outgoing, Sent


class Sandbox:
    """Delivers everything and keeps nothing: the conversation itself shows what was said."""

    repeats_safely = True
    pace_s = 0.0
    recipient_pace_s = 0.0

    def send(self, message: Outgoing) -> Sent:
        """Always delivered."""
        return Sent(f"sandbox-{message.id}", "delivered")

    def find(self, message: Outgoing, since: datetime) -> Sent:
        """Always delivered."""
        del since
        return self.send(message)

    def check(self) -> Health:
        """Always well."""
        return Health(True, "Messages of the test environment stay here")

    def mark_read(self, provider_id: str) -> None:
        """Nobody is told."""
