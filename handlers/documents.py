"""Documents that the application renders at its start and handlers only hand out: the contract in its forms."""

from __future__ import annotations

from typing import NamedTuple


class Document(NamedTuple):
    """Bytes as they are sent, and what they are."""

    media_type: str
    content: bytes


_published: dict[str, Document] = {}


def publish(name: str, media_type: str, content: bytes) -> None:
    """Make a document available under this name, in place of one published before."""
    _published[name] = Document(media_type, content)


def published(name: str) -> Document:
    """The document of this name. Raises KeyError: the application did not publish it at its start."""
    return _published[name]
