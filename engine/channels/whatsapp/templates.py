"""The message templates of a business account: what may be said outside the 24 hours after a person's message."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from engine.channels import Credentials, Endpoints
from engine.channels.members import items, text
from engine.channels.whatsapp.graph import Graph

PAGE_SIZE = 100
MAX_PAGES = 100  # an account may have 6,000 templates
_FIELDS = ("id", "name", "language", "status", "category", "parameter_format", "components")


def list_templates(credentials: Credentials, endpoints: Endpoints) -> list[dict[str, Any]]:
    """All templates, in every language and status, with Meta's member names: id, name, language, status
    (APPROVED, PENDING, REJECTED, PAUSED, DISABLED), category, parameter_format, components. Raises SendError.
    """
    graph = Graph(credentials, endpoints)
    path = f"/{quote(str(credentials.settings.get('wabaId', '')), safe='')}/message_templates"
    query = {"fields": ",".join(_FIELDS), "limit": str(PAGE_SIZE)}
    templates: list[dict[str, Any]] = []
    for _ in range(MAX_PAGES):
        page = graph.get(path, query)
        named = [item for item in items(page, "data") if text(item, "name") and text(item, "language")]
        templates += [{name: item[name] for name in _FIELDS if name in item} for item in named]
        after = text(page, "paging", "cursors", "after")
        if not after or not text(page, "paging", "next") or after == query.get("after"):
            break
        query["after"] = after  # never the address in `next`: it holds the token
    return templates
