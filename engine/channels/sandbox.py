"""The channel of the test environment: every message arrives at once, nowhere."""

from __future__ import annotations

from typing import Literal

from engine.channels import Outgoing


class Sandbox:
    """Delivers everything and keeps nothing: the conversation itself shows what was said."""

    def send(self, message: Outgoing) -> Literal["sent", "delivered"]:
        """Always delivered."""
        del message
        return "delivered"
