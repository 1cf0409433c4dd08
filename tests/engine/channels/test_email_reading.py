"""What events of Resend say, and whose signature proves them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from engine.channels import Credentials, Event, Ignored, Request, Said, Status, email
from engine.channels.email.fetching import taken_in
from tests.support.odd_payloads import ANYTHING, near
from tests.support.providers.resend import SECRET, ResendServer

EMAIL_ID = "49a3999c-0ce1-4ea6-ab68-000000000001"
MESSAGE = "665f1c2e9b1d4a0012ab34f0"
CONVERSATION = "665f1c2e9b1d4a0012ab34e0"
AT = "2026-11-24T07:00:00.126Z"


@pytest.fixture
def resend() -> ResendServer:
    return ResendServer()


def event(kind: str, **data: Any) -> dict[str, Any]:
    about = {"email_id": EMAIL_ID, "from": "Example <sales@example.com>", "to": ["ada@example.com"]}
    return {"type": kind, "created_at": AT, "data": {**about, "tags": {"message": MESSAGE}, **data}}


def received(**data: Any) -> dict[str, Any]:
    envelope = {"from": "Ada Byron <Ada@Example.com>", "to": ["sales@inbound.example.com"], "subject": "Hello"}
    return event("email.received", **{**envelope, "message_id": "<in-1@example.com>", **data})


def only(payload: Any) -> Any:
    (read,) = email.read(payload)
    return read.what


def test_inbound_email_tells_who_wrote_and_what_to_fetch() -> None:
    (read,) = email.read(received())

    assert (read.id, read.contact) == (f"email.received:{EMAIL_ID}", "ada@example.com")
    assert (read.address, read.at) == ("inbound.example.com", datetime(2026, 11, 24, 7, 0, 0, 126000, UTC))
    assert isinstance(read.what, Said)
    assert (read.what.sender.email, read.what.sender.name) == ("ada@example.com", "Ada Byron")
    assert (read.what.provider_id, read.what.subject) == ("<in-1@example.com>", "Hello")
    assert (read.what.text, read.what.fetch) == ("", {"email_id": EMAIL_ID})


def test_inbound_email_without_message_id_is_known_by_resends() -> None:
    assert only(received(message_id=None, subject=None)).provider_id == EMAIL_ID


@pytest.mark.parametrize(
    ("to", "conversation"),
    [
        ([f"reply+{CONVERSATION}@inbound.example.com"], CONVERSATION),
        (["Bob <bob@example.org>", f"Example <Reply+{CONVERSATION.upper()}@inbound.example.com>"], CONVERSATION),
        ([f"leads+c{CONVERSATION}@inbound.example.com"], CONVERSATION),
        (["reply+123@inbound.example.com"], ""),
        (["sales@inbound.example.com"], ""),
    ],
)
def test_address_names_the_conversation(to: list[str], conversation: str) -> None:
    assert only(received(to=to)).conversation_id == conversation


def test_addresses_are_all_that_it_may_be_for() -> None:
    copied = received(
        to=["bob@example.org"], cc=[f"reply+{CONVERSATION}@Inbound.example.com"], bcc=["x@third.example.com"]
    )

    assert email.addresses(copied) == ("inbound.example.com", "example.org", "third.example.com")
    assert email.addresses(event("email.delivered")) == ("example.com",)
    assert email.addresses(None) == ()


def test_encoded_name_is_decoded() -> None:
    sender = only(received(**{"from": "=?utf-8?q?Jos=C3=A9_N?= <jose@example.com>"})).sender

    assert sender.name == "José N"


@pytest.mark.parametrize("sender", ["", None, "no address", "<>", "a@b@c", ["x@example.com"]])
def test_email_from_nobody_is_ignored(sender: Any) -> None:
    assert only(received(**{"from": sender})) == Ignored("no_sender")


@pytest.mark.parametrize(
    ("kind", "status"),
    [("email.sent", "sent"), ("email.delivered", "delivered"), ("email.opened", "read"), ("email.clicked", "read")],
)
def test_how_far_an_email_has_come(kind: str, status: str) -> None:
    (read,) = email.read(event(kind))

    assert read.what == Status(EMAIL_ID, status, MESSAGE)  # type: ignore[arg-type]
    assert read.id == f"{kind}:{EMAIL_ID}:{AT}"


@pytest.mark.parametrize(
    ("kind", "data", "code", "is_opt_out"),
    [
        ("email.bounced", {"bounce": {"type": "Permanent", "message": "suppress"}}, "email_bounced_permanent", False),
        ("email.bounced", {"bounce": {"type": "Transient"}}, "email_bounced_transient", False),
        ("email.bounced", {"bounce": {"type": "Undetermined"}}, "email_bounced", False),
        ("email.bounced", {"bounce": {"message": "a hard bounce"}}, "email_bounced", False),
        ("email.bounced", {"bounce": {"message": "has suppressed after a complaint"}}, "email_suppressed", True),
        ("email.bounced", {}, "email_bounced", False),
        ("email.suppressed", {"suppressed": {"reason": "previous_complaint"}}, "email_suppressed", True),
        ("email.suppressed", {"suppressed": {"reason": "previous_bounce"}}, "email_suppressed", False),
        ("email.suppressed", {}, "email_suppressed", True),
        ("email.failed", {"failed": {"reason": "reached_daily_quota"}}, "email_reached_daily_quota", False),
        ("email.failed", {"failed": {"reason": "no\nidea"}}, "email_failed", False),
    ],
)  # fmt: skip
def test_why_an_email_failed(kind: str, data: dict[str, Any], code: str, is_opt_out: bool) -> None:
    status = only(event(kind, **data))

    assert (status.status, status.code, status.is_opt_out) == ("failed", code, is_opt_out)
    assert status.message_id == MESSAGE


def test_complaint_is_an_opt_out_of_what_has_arrived() -> None:
    status = only(event("email.complained"))

    assert (status.status, status.code, status.is_opt_out) == ("delivered", "email_complained", True)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (event("email.delivery_delayed"), "delivery_delayed"),
        (event("email.scheduled"), "scheduled"),
        (event("email.of_next_year"), "unknown_event"),
        ({"type": "domain.updated", "created_at": AT, "data": {"id": "d91cd9bd"}}, "not_about_an_email"),
    ],
)
def test_other_events_are_ignored_with_their_reason(payload: Any, reason: str) -> None:
    assert only(payload) == Ignored(reason)


def test_tags_of_others_are_no_messages_of_ours() -> None:
    assert only(event("email.sent", tags={"message": "x"})).message_id is None
    assert only(event("email.sent", tags=[{"name": "message"}])).message_id is None


@given(near([received(), event("email.bounced", bounce={"type": "Permanent"}), event("email.failed")]) | ANYTHING)
@settings(max_examples=300, deadline=None)
def test_odd_events_are_read_without_complaint(payload: Any) -> None:
    for read in email.read(payload):
        assert isinstance(read, Event)
        assert read.id
        assert "\x00" not in str(read.what)
        str(read.what).encode()
    assert all(isinstance(address, str) for address in email.addresses(payload))


BODY = {
    "text": "Hi\n\nOn Tue, 24 Nov 2026 at 08:00, x@example.com wrote:\n> y",
    "html": "<p>Hi</p>",
    "headers": {"References": ["<a@example.com>", "<b@example.com>"], "Auto-Submitted": "no"},
    "attachments": [{"filename": "a.pdf", "content_disposition": "inline"}],
    "message_id": "<m@example.com>",
}


@given(near([BODY, {**BODY, "text": None}]) | ANYTHING)
@settings(max_examples=300, deadline=None)
def test_odd_bodies_are_read_without_complaint(body: Any) -> None:
    said = taken_in(body if isinstance(body, dict) else {}, only(received()))

    assert isinstance(said, Said | Ignored)
    str(said).encode()


class TestSignature:
    def verify(self, body: bytes, headers: dict[str, str], secret: str = SECRET) -> bool:
        request = Request(body, {name.lower(): value for name, value in headers.items()})
        return email.is_authentic(request, Credentials("x", {}, {"signingSecret": secret}))

    def test_own_signature_is_believed_for_its_exact_bytes(self, resend: ResendServer) -> None:
        hook = resend.webhook(received(), "http://127.0.0.1/")

        assert self.verify(hook.body, dict(hook.headers))
        assert not self.verify(hook.body + b" ", dict(hook.headers))
        assert not self.verify(hook.body, {**hook.headers, "svix-id": "msg_other"})
        assert not self.verify(b"\xff", dict(hook.headers))

    @pytest.mark.parametrize(
        ("minutes", "is_believed"), [(-6, False), (-4, True), (4, True), (6, False)], ids="{}min".format
    )
    def test_signature_lives_five_minutes(self, resend: ResendServer, minutes: int, is_believed: bool) -> None:
        hook = resend.webhook(received(), "http://127.0.0.1/", at=datetime.now(UTC) + timedelta(minutes=minutes))

        assert self.verify(hook.body, dict(hook.headers)) is is_believed

    def test_one_right_signature_among_several_is_enough(self, resend: ResendServer) -> None:
        hook = resend.webhook(received(), "http://127.0.0.1/")
        wrong = resend.webhook(received(), "http://127.0.0.1/", secret="whsec_d3Jvbmctc2VjcmV0")
        right = hook.headers["svix-signature"]

        several = f"v1a,xx v1 v1,! v1,§ a,b,c {wrong.headers['svix-signature']} {right}"

        assert self.verify(hook.body, {**hook.headers, "svix-signature": several})
        assert not self.verify(hook.body, {**hook.headers, "svix-signature": right.replace("v1,", "v2,")})

    @pytest.mark.parametrize("missing", ["svix-id", "svix-timestamp", "svix-signature"])
    def test_each_header_is_needed(self, resend: ResendServer, missing: str) -> None:
        hook = resend.webhook(received(), "http://127.0.0.1/")
        headers = {name: value for name, value in hook.headers.items() if name != missing}

        assert not self.verify(hook.body, headers)

    @pytest.mark.parametrize("timestamp", ["", "now", "nan", "inf", "1e400", "-1", "99999999999999999999"])
    def test_odd_timestamps_are_refused(self, resend: ResendServer, timestamp: str) -> None:
        hook = resend.webhook(received(), "http://127.0.0.1/")

        assert not self.verify(hook.body, {**hook.headers, "svix-timestamp": timestamp})

    @pytest.mark.parametrize("secret", ["", "whsec_", "whsec_ä", "whsec_a"])
    def test_without_a_secret_nobody_is_believed(self, resend: ResendServer, secret: str) -> None:
        hook = resend.webhook(received(), "http://127.0.0.1/")

        assert not self.verify(hook.body, dict(hook.headers), secret)
