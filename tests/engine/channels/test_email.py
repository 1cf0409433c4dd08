"""Emails through Resend, against its documented API on loopback."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from engine.channels import (
    Credentials,
    Deferred,
    Endpoints,
    Ignored,
    Misconfigured,
    OutcomeUnknown,
    Outgoing,
    Said,
    Undeliverable,
    email,
)
from tests.support.providers import refusing_url
from tests.support.providers.resend import INBOUND_DOMAIN, KEY, ResendServer

CONVERSATION = "665f1c2e9b1d4a0012ab34e0"


@pytest.fixture
def provider() -> Iterator[ResendServer]:
    with ResendServer() as server:
        yield server


@pytest.fixture
def endpoints(provider: ResendServer) -> Endpoints:
    return Endpoints(email=provider.url, timeout_s=5)


@pytest.fixture
def account(provider: ResendServer, endpoints: Endpoints) -> Any:
    return email.connect(provider.credentials(), endpoints)


def to_ada(text: str = "Hello Ada", **members: Any) -> Outgoing:
    defaults = {"id": "665f1c2e9b1d4a0012ab34f0", "email": "Ada@example.com", "conversation_id": CONVERSATION}
    return Outgoing(channel="email", phone="", text=text, **{**defaults, **members})


def said_in(event: dict[str, Any]) -> Said:
    (read,) = email.read(event)
    assert isinstance(read.what, Said)
    return read.what


def test_email_is_sent_with_a_way_back(account: Any, provider: ResendServer) -> None:
    sent = account.send(to_ada("Hello <Ada>\nhow are you?\n\nBye"))

    body = provider.sent[0].body
    assert sent.provider_id == provider.sent[0].id
    assert (body["from"], body["to"]) == ('"Example" <sales@example.com>', ["ada@example.com"])
    assert body["text"] == "Hello <Ada>\nhow are you?\n\nBye"
    assert body["html"] == "<p>Hello &lt;Ada&gt;<br>how are you?</p><p>Bye</p>"
    assert body["subject"] == "Message from Example"
    assert body["reply_to"] == f"reply+{CONVERSATION}@{INBOUND_DOMAIN}"
    assert body["tags"] == [{"name": "message", "value": "665f1c2e9b1d4a0012ab34f0"}]
    assert provider.requests[0].headers["idempotency-key"] == "665f1c2e9b1d4a0012ab34f0"
    assert provider.requests[0].headers["user-agent"]


def test_answer_stands_in_the_thread(account: Any, provider: ResendServer) -> None:
    account.send(to_ada(subject="Your\r\nquote", in_reply_to="<in-2@example.com>", references=("<in-1@example.com>",)))

    body = provider.sent[0].body
    root = f"<conversation.{CONVERSATION}@{INBOUND_DOMAIN}>"
    assert body["subject"] == "Re: Your quote"
    assert body["headers"]["In-Reply-To"] == "<in-2@example.com>"
    assert body["headers"]["References"] == f"{root} <in-1@example.com> <in-2@example.com>"


@pytest.mark.parametrize("subject", ["Re: Your quote", "AW: Your quote", "RE[2]: Your quote"])
def test_subject_of_an_answer_is_marked_once(account: Any, provider: ResendServer, subject: str) -> None:
    account.send(to_ada(subject=subject, in_reply_to="<in-2@example.com>"))

    assert provider.sent[0].body["subject"] == subject


def test_what_is_no_message_id_stays_out_of_the_headers(account: Any, provider: ResendServer) -> None:
    account.send(to_ada(in_reply_to="49a3999c-0ce1", references=("x", "<a b>", "<c@example.com>\r\nBcc: <d@e>")))

    headers = provider.sent[0].body["headers"]
    assert "In-Reply-To" not in headers
    assert "Bcc" not in headers["References"]
    assert "\n" not in headers["References"]


def test_without_an_inbound_domain_answers_go_to_the_from_address(endpoints: Endpoints, provider: ResendServer) -> None:
    credentials = provider.credentials(inboundDomain=None, fromName='Ada "<x>"\nB')

    email.connect(credentials, endpoints).send(to_ada())

    body = provider.sent[0].body
    assert "reply_to" not in body
    assert body["from"] == '"Ada x B" <sales@example.com>'


def test_choices_are_numbered_lines(account: Any, provider: ResendServer) -> None:
    account.send(to_ada("Does Thursday work?", buttons=("Yes", "No")))

    assert provider.sent[0].body["text"] == "Does Thursday work?\n\n1. Yes\n2. No"


def test_repeated_message_is_sent_once(account: Any, provider: ResendServer) -> None:
    provider.loses_answer()
    with pytest.raises(OutcomeUnknown):
        account.send(to_ada())

    sent = account.send(to_ada())

    assert account.repeats_safely
    assert [one.id for one in provider.sent] == [sent.provider_id]


def test_same_id_with_other_words_is_not_sent_again(account: Any, provider: ResendServer) -> None:
    account.send(to_ada())

    with pytest.raises(OutcomeUnknown):
        account.send(to_ada("Other words"))

    assert len(provider.sent) == 1


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"email": ""}, "email_no_address"),
        ({"email": "not an address"}, "email_no_address"),
        ({"text": " "}, "email_no_text"),
    ],
)
def test_email_without_address_or_words_is_undeliverable(account: Any, members: dict[str, str], code: str) -> None:
    with pytest.raises(Undeliverable) as refused:
        account.send(to_ada(**members))

    assert refused.value.code == code


def error(status: int, name: str) -> dict[str, Any]:
    return {"statusCode": status, "name": name, "message": "…"}


@pytest.mark.parametrize(
    ("status", "name", "meaning"),
    [
        (400, "invalid_idempotency_key", Undeliverable),
        (400, "validation_error", Undeliverable),
        (401, "missing_api_key", Misconfigured),
        (401, "restricted_api_key", Misconfigured),
        (403, "invalid_api_key", Misconfigured),
        (403, "validation_error", Misconfigured),
        (404, "something_new", Undeliverable),
        (409, "concurrent_idempotent_requests", Deferred),
        (409, "invalid_idempotent_request", OutcomeUnknown),
        (422, "missing_required_field", Undeliverable),
        (422, "invalid_from_address", Misconfigured),
        (429, "rate_limit_exceeded", Deferred),
        (429, "daily_quota_exceeded", Deferred),
        (429, "monthly_quota_exceeded", Misconfigured),
        (500, "application_error", Deferred),
    ],
)
def test_each_refusal_has_its_meaning(
    account: Any, provider: ResendServer, status: int, name: str, meaning: type[Exception]
) -> None:
    provider.answers(status, error(status, name))

    with pytest.raises(meaning) as refused:
        account.send(to_ada())

    assert refused.value.code == f"email_{name}"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (403, "error code: 1010", Misconfigured),
        (429, "slow down", Deferred),
        (502, "<html>", OutcomeUnknown),
        (200, "not JSON", OutcomeUnknown),
        (200, {"object": "email"}, OutcomeUnknown),
        (302, None, Misconfigured),
    ],
)
def test_answers_that_are_not_resends_have_a_meaning_too(
    account: Any, provider: ResendServer, status: int, body: Any, meaning: type[Exception]
) -> None:
    provider.answers(status, body)

    with pytest.raises(meaning):
        account.send(to_ada())


def test_limits_hold_the_whole_account_back(account: Any, provider: ResendServer) -> None:
    provider.limits(retry_after=3)
    with pytest.raises(Deferred) as limited:
        account.send(to_ada())

    provider.exhausts("daily")
    with pytest.raises(Deferred) as exhausted:
        account.send(to_ada())

    assert (limited.value.delay_s, limited.value.scope) == (3.0, "integration")
    assert (exhausted.value.delay_s, exhausted.value.scope) == (21_600.0, "integration")


def test_refused_connection_was_certainly_not_sent(provider: ResendServer) -> None:
    account = email.connect(provider.credentials(), Endpoints(email=refusing_url()))

    with pytest.raises(Deferred):
        account.send(to_ada())


def test_late_answer_leaves_the_outcome_unknown(endpoints: Endpoints, provider: ResendServer) -> None:
    provider.delays(30)

    with pytest.raises(OutcomeUnknown):
        email.connect(provider.credentials(), replace(endpoints, timeout_s=0.2)).send(to_ada())


@pytest.mark.parametrize("key", ["", "re_ä", "re_a\r\nX: y"])
def test_malformed_key_leads_nowhere(endpoints: Endpoints, provider: ResendServer, key: str) -> None:
    provider.key = key

    with pytest.raises(Misconfigured):
        email.connect(provider.credentials(), endpoints).send(to_ada())

    assert not provider.requests


def test_key_is_never_told(account: Any, provider: ResendServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    account.send(to_ada())
    provider.key = "another"

    with pytest.raises(Misconfigured) as refused:
        account.send(to_ada())

    assert KEY not in caplog.text
    assert KEY not in repr(refused.value)
    assert refused.value.__context__ is None


def test_health_needs_a_key_and_verified_domains(account: Any, provider: ResendServer) -> None:
    assert account.check().is_healthy

    provider.receives = False
    assert "receive" in account.check().detail

    provider.domains["example.com"] = "pending"
    assert "not verified" in account.check().detail

    del provider.domains["example.com"]
    assert "does not know the domain" in account.check().detail

    provider.key = "another"
    assert account.check().detail == "Resend does not know the API key."


def test_key_that_may_only_send_is_healthy_without_inbound_email(endpoints: Endpoints, provider: ResendServer) -> None:
    provider.only_sends = True

    assert not email.connect(provider.credentials(), endpoints).check().is_healthy
    assert email.connect(provider.credentials(inboundDomain=None), endpoints).check().is_healthy


class TestFetch:
    """An inbound email is an event without words; these are its words."""

    def fetch(self, provider: ResendServer, endpoints: Endpoints, event: dict[str, Any]) -> Any:
        return email.fetch(provider.credentials(), endpoints, said_in(event))

    def test_reply_comes_back_to_its_conversation(
        self, account: Any, provider: ResendServer, endpoints: Endpoints
    ) -> None:
        account.send(to_ada("Does Thursday work? Reply STOP to opt out."))

        said = self.fetch(provider, endpoints, provider.reply(provider.sent[0], "Yes, it does."))

        assert (said.text, said.fetch) == ("Yes, it does.", None)
        assert said.conversation_id == CONVERSATION
        assert said.reply_to == provider.sent[0].message_id
        assert said.sender.identities == ("ada@example.com",)
        assert said.provider_id.startswith("<in-")

    def test_reply_to_another_address_is_known_by_its_references(
        self, account: Any, provider: ResendServer, endpoints: Endpoints
    ) -> None:
        account.send(to_ada())
        provider.sent[0].body["reply_to"] = "sales@inbound.example.com"  # type: ignore[index]

        said = self.fetch(provider, endpoints, provider.reply(provider.sent[0], "Yes."))

        assert said.conversation_id == CONVERSATION

    def test_html_is_read_where_there_is_no_text(self, provider: ResendServer, endpoints: Endpoints) -> None:
        html = "<style>p{}</style><p>We need:<ul><li>2 desks<li>3 chairs</ul></p><blockquote>old</blockquote>"

        said = self.fetch(provider, endpoints, provider.receive("Ada <ada@example.com>", ["x@y.example"], html=html))

        assert said.text == "We need:\n\n- 2 desks\n- 3 chairs"

    def test_attachments_are_told_but_not_logos(self, provider: ResendServer, endpoints: Endpoints) -> None:
        files = [
            {"filename": "plan.pdf", "content_disposition": "attachment"},
            {"filename": "logo.png", "content_disposition": "inline"},
        ]
        event = provider.receive("ada@example.com", ["x@y.example"], text="See the plan.", attachments=files)
        silent = provider.receive("ada@example.com", ["x@y.example"], attachments=files[1:])

        assert self.fetch(provider, endpoints, event).text == "See the plan.\n[attachment] plan.pdf"
        assert self.fetch(provider, endpoints, silent).text == "[attachment] logo.png"

    def test_subject_speaks_where_there_are_no_words(self, provider: ResendServer, endpoints: Endpoints) -> None:
        event = provider.receive("ada@example.com", ["x@y.example"], subject="unsubscribe")

        assert self.fetch(provider, endpoints, event).text == "unsubscribe"

    @pytest.mark.parametrize(
        "headers",
        [
            {"Auto-Submitted": "auto-replied"},
            {"AUTO-SUBMITTED": ["auto-generated; owner", "no"]},
            {"precedence": "bulk"},
            {"X-Autoreply": "yes"},
            {"Return-Path": "<>"},
            {"Content-Type": 'multipart/report; report-type="delivery-status"'},
        ],
    )
    def test_machines_are_not_answered(
        self, provider: ResendServer, endpoints: Endpoints, headers: dict[str, Any]
    ) -> None:
        event = provider.receive("ada@example.com", ["x@y.example"], text="I am out of office.", headers=headers)

        assert self.fetch(provider, endpoints, event) == Ignored("autoreply")

    @pytest.mark.parametrize("headers", [{"auto-submitted": "no"}, {"Precedence": "list"}, {}, {"": None, "x": [None]}])
    def test_people_are(self, provider: ResendServer, endpoints: Endpoints, headers: dict[str, Any]) -> None:
        event = provider.receive("ada@example.com", ["x@y.example"], text="Hi!", headers=headers)

        assert self.fetch(provider, endpoints, event).text == "Hi!"

    @pytest.mark.parametrize(
        ("sender", "reason"),
        [
            ("MAILER-DAEMON@mail.example.com", "autoreply"),
            ("Sales <sales@example.com>", "own_address"),
            (f"x@{INBOUND_DOMAIN}", "own_address"),
        ],
    )
    def test_our_own_and_servers_are_not_leads(
        self, provider: ResendServer, endpoints: Endpoints, sender: str, reason: str
    ) -> None:
        event = provider.receive(sender, ["x@y.example"], text="Hi!")

        assert self.fetch(provider, endpoints, event) == Ignored(reason)

    @pytest.mark.parametrize("mishap", ["lost", "limited", "failed"])
    def test_what_could_not_be_read_now_is_read_later(
        self, provider: ResendServer, endpoints: Endpoints, mishap: str
    ) -> None:
        event = provider.receive("ada@example.com", ["x@y.example"], text="Hi!")
        {"lost": provider.loses_answer, "limited": provider.limits, "failed": provider.fails}[mishap]()

        with pytest.raises(Deferred):
            self.fetch(provider, endpoints, event)

        assert self.fetch(provider, endpoints, event).text == "Hi!"

    def test_email_that_is_gone_is_undeliverable(self, provider: ResendServer, endpoints: Endpoints) -> None:
        said = replace(said_in(provider.receive("ada@example.com", [])), fetch={"email_id": "../domains"})

        with pytest.raises(Undeliverable):
            email.fetch(provider.credentials(), endpoints, said)

    def test_key_that_may_only_send_says_so(self, provider: ResendServer, endpoints: Endpoints) -> None:
        provider.only_sends = True

        with pytest.raises(Misconfigured) as refused:
            self.fetch(provider, endpoints, provider.receive("ada@example.com", []))

        assert "full access" in refused.value.detail

    def test_nothing_to_fetch_is_left_as_it_is(self, endpoints: Endpoints, provider: ResendServer) -> None:
        said = replace(said_in(provider.receive("ada@example.com", [])), fetch=None)

        assert email.fetch(Credentials("x", {}, {}), endpoints, said) is said
