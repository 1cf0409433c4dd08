"""A message of Telegram in words: its text, or what kind of media came, with its name and caption."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.channels import members
from engine.channels.members import mapping
from engine.channels.payloads import line, text, whole
from engine.channels.wording import labelled, located


def described(message: Mapping[str, Any]) -> str | None:
    """What the agent reads; None for a message without content, such as a pinned one or a poll."""
    if words := text(message.get("text")):
        return words
    if place := _place(message):
        return place
    if person := mapping(message, "contact"):
        return labelled("contact", _named(person, "first_name", "last_name", "phone_number", between=" "))
    for member, (kind, details) in _MEDIA.items():
        if member in message:
            told = details(mapping(message, member))
            return labelled(f"{kind}: {told}" if told else kind, text(message.get("caption")))
    return None


def _place(message: Mapping[str, Any]) -> str:
    """A venue has a location of its own, and the message the same one beside it."""
    venue = mapping(message, "venue")
    position = mapping(venue, "location") or mapping(message, "location")
    if not venue and not position:
        return ""
    coordinates = [members.text(position, name) for name in ("latitude", "longitude")]
    return located(coordinates[0], coordinates[1], line(venue.get("title")), line(venue.get("address")))


def _nothing(media: Mapping[str, Any]) -> str:
    del media
    return ""


def _seconds(media: Mapping[str, Any]) -> str:
    duration = whole(media.get("duration"))
    return "" if duration is None else f"{duration} s"


def _file_name(media: Mapping[str, Any]) -> str:
    return line(media.get("file_name"))


def _track(media: Mapping[str, Any]) -> str:
    return _named(media, "performer", "title") or _file_name(media)


def _emoji(media: Mapping[str, Any]) -> str:
    return line(media.get("emoji"), 16)


def _dice(media: Mapping[str, Any]) -> str:
    return f"{_emoji(media)} {members.text(media, 'value')}".strip()


def _named(media: Mapping[str, Any], *names: str, between: str = ", ") -> str:
    return between.join(filter(None, (line(media.get(name)) for name in names)))


# An animation has a document beside it: the first that is there tells.
_MEDIA: dict[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "photo": ("image", _nothing),
    "animation": ("animation", _nothing),
    "video": ("video", _seconds),
    "video_note": ("video", _seconds),
    "voice": ("voice message", _seconds),
    "audio": ("audio", _track),
    "document": ("document", _file_name),
    "sticker": ("sticker", _emoji),
    "dice": ("dice", _dice),
    "story": ("story", _nothing),
    "paid_media": ("image", _nothing),
}
