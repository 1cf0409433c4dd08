"""What agents know: documents, how they are indexed, and how passages of them are found."""

from __future__ import annotations

from storage.knowledge import KnowledgeBase
from storage.knowledge_chunks import Filters

from .documents import add_document, delete_document, put_document
from .retrieval import Found, search

__all__ = ["Filters", "Found", "KnowledgeBase", "add_document", "delete_document", "put_document", "search"]
