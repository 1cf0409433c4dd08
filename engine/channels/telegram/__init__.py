"""Telegram: a bot of the account's own, by the Bot API.

A bot cannot write first, and Telegram tells neither arrival nor reading: `sent` is the last state of a message. The
bot's token stands in the URL of every call, so URLs go nowhere but to `engine.channels.wire`.
"""

from engine.channels.telegram.reading import is_authentic, read
from engine.channels.telegram.sending import connect, fetch
from engine.channels.telegram.webhook import register_webhook, unregister_webhook, webhook_url

__all__ = ["connect", "fetch", "is_authentic", "read", "register_webhook", "unregister_webhook", "webhook_url"]
