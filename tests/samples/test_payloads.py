"""Real webhook bodies: what becomes of each, posted byte for byte and signed to a served newleaf.

Each file goes to an account of its own. Then the same body comes eight times at once and twice more, and that must
change nothing. What is expected was read off the files and their README by eye. Our own messages, of which statuses
speak, are put there before.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest
from standardwebhooks.webhooks import Webhook as Signer

from engine import vault
from storage import database
from tests.conftest import ENGINE, SECRET_KEY, migrated, own_database
from tests.samples.payload_house import SAMPLES, Expected, House, World, found, replay
from tests.support.providers import FOR_EVER, resend, telegram, twilio, whatsapp

SILENCE = ["whatsapp", "telegram", "email", "sms"]


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("payloads")
    if ENGINE == "sqlite":
        url = f"sqlite:///{folder}/newleaf.db"
    else:
        url = own_database(request.getfixturevalue("postgres_url"), "newleaf_payloads")
    migrated(url)
    opened = database.connect(url)
    vault.configure(SECRET_KEY)
    with ExitStack() as stack:
        yield World(stack, url, folder)
    vault.configure(None)
    opened.close_all()


def prepare(house: House, expected: Expected, named: str = "", conversation_oid: str | None = None) -> str | None:
    """Put there what is to be there before; the id of our message. named: the id that `{…}` of a table stands for."""
    if expected.known is None:
        return None
    lead = house.know(**expected.known)
    if expected.about is None:
        return None
    return house.say(lead, named if expected.about.startswith("{") else expected.about, conversation_oid)


def require(house: House, expected: Expected, message_oid: str | None = None) -> None:
    became = found(house, message_oid)
    assert list(became.fates) == list(expected.fates)
    assert list(became.said) == list(expected.said)
    assert {name: became.lead.get(name) for name in expected.lead} == dict(expected.lead)
    assert list(became.called) == sorted(expected.called)
    assert became.ours == expected.ours


ADA = {"name": "Test Name", "phone": "+972987654321", "source": "whatsapp", "opted_out": []}
ADA_IS = ["972987654321", "US.13491208655302741918"]
NUMBER, WABA = "1122334455667", "1234567890987654321"
OTHER_NUMBER, OTHER_WABA = "106540352242922", "102290129340398"


def heard(*words: str, lead: dict[str, Any] = ADA, called: list[str] = ADA_IS) -> Expected:
    return Expected(["done"] * len(words), words, lead, called)


def status(ours: str, about: str = "wamid.xyzxyz") -> Expected:
    return Expected(["done"], ours=ours, about=about, known={"phone": "+972987654321"})


def ignored(reason: str) -> Expected:
    return Expected([f"ignored: {reason}"])


WHATSAPP = {
    "01-text.json": heard("Body Text"),
    "02-text-from-ad-referral.json": heard("BODY"),
    "03-image.json": heard("[image]"),
    "04-image-direct-media-url.json": heard("[image]"),
    "05-voice.json": heard("[voice message]"),
    "06-document.json": heard("[document: filename.pdf] caption"),
    "07-interactive-button-reply.json": heard("title"),
    "08-template-quick-reply.json": heard("title"),
    "09-template-quick-reply-no-context.json": heard("title"),
    "10-interactive-list-reply.json": heard("title"),
    "11-location-chosen.json": heard(
        "[location] Facebook HQ, 1 Hacker Way, Menlo Park, CA 94025 (37.4611978, -122.2164385)"
    ),
    "12-reaction.json": heard("[reaction] 😮"),
    "13-reaction-removed-no-emoji.json": ignored("reaction_removed"),
    "14-contacts-shared.json": heard(
        "[contact] Chandler Bing +1 555-555-5555; Monica +1 666-666-6666; Rachel Green +1 777-777-7777"
    ),
    "15-reply-with-context.json": heard("replied text"),
    "16-forwarded.json": heard("forwarded text"),
    "17-unsupported.json": heard("[unsupported message]"),
    "18-interactive-empty-with-value-errors.json": heard("[unsupported message]"),
    "19-order.json": heard("[order] 3 × HAMBURGER, 2 × FRENCH_FRIES, 2 × SODA"),
    "20-status-sent.json": status("sent"),
    "21-status-delivered.json": status("delivered"),
    "22-status-read.json": status("read"),
    "23-status-failed-130472.json": status("failed"),
    "24-status-sent-opaque-callback-data.json": status("sent"),
    # The lead's phone is the new number from then on, and the channel calls it so.
    "25-system-number-changed.json": Expected(
        known={"phone": "+972987654321"}, lead={"phone": "+972912345678"}, called=["972912345678"]
    ),
    "26-system-identity-changed.json": ignored("system_message"),
    # Edited by 16505551234, of whom the body tells no name: its contact is somebody else.
    "27-edited-message.json": heard(
        "[image] Updated image caption",
        lead={"name": "Unknown", "phone": "+16505551234", "source": "whatsapp"},
        called=["16505551234"],
    ),
    "28-user-preferences-resume.json": Expected(
        known={"phone": "+16505551234", "opted_out": SILENCE}, lead={"opted_out": []}, called=["16505551234"]
    ),
    "29-template-status-rejected.json": ignored("field_not_ours"),
    "30-account-restriction.json": ignored("field_not_ours"),
    "31-echo-outgoing-text.json": ignored("written_by_staff"),
    "32-text-bsuid-only-no-phone.json": heard(
        "Body Text", lead={"name": "Test Name", "phone": "", "source": "whatsapp"}, called=["US.13491208655302741918"]
    ),
    "33-text-phone-and-bsuid.json": heard("Body Text"),
    "34-status-failed-131047.json": status("failed", "wamid.failed47"),
    "35-status-failed-131026.json": status("failed", "wamid.failed26"),
    "36-status-delivered-bsuid-pmp-no-conversation.json": status("delivered", "wamid.pmp01"),
    # Its second entry, of another number, is another account's: below.
    "37-several-entries-changes-messages.json": Expected(
        ["done"] * 5,
        ["Body Text", "second message, same change", "title", "[reaction] 😮"],
        called=ADA_IS,
        ours="read",
        about="wamid.xyzxyz",
        known={"phone": "+972987654321"},
    ),
    "38-system-user-id-changed-no-from.json": ignored("previous_name_unknown"),
}


def whatsapp_account(world: World, number: str = NUMBER, waba: str = WABA) -> House:
    body = {
        "wabaId": waba,
        "phoneNumberId": number,
        "accessToken": whatsapp.TOKEN,
        "appSecret": whatsapp.APP_SECRET,
        "verifyToken": whatsapp.VERIFY_TOKEN,
    }
    return world.account("whatsapp", body)


def signed_by_meta(body: bytes) -> dict[str, str]:
    digest = hmac.new(whatsapp.APP_SECRET.encode(), body, hashlib.sha256).hexdigest()
    return {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={digest}"}


@pytest.mark.parametrize("name", WHATSAPP)
def test_whatsapp(world: World, name: str) -> None:
    expected, body = WHATSAPP[name], (SAMPLES / "whatsapp" / name).read_bytes()
    is_others = name.startswith(("27", "28", "29", "30"))
    house = whatsapp_account(world, *((OTHER_NUMBER, OTHER_WABA) if is_others else (NUMBER, WABA)))
    message = prepare(house, expected)

    answer = replay(house, f"{world.server.base_url}/api/webhooks/whatsapp", body, signed_by_meta(body))

    house.remove()
    is_ignored = all(fate.startswith("ignored") for fate in expected.fates)
    assert (answer.status_code, answer.json()) == (200, {"status": "ignored" if is_ignored else "ok"})
    require(house, expected, message)


def test_whatsapp_body_of_two_accounts_reaches_both(world: World) -> None:
    body = (SAMPLES / "whatsapp" / "37-several-entries-changes-messages.json").read_bytes()
    first, second = whatsapp_account(world), whatsapp_account(world, OTHER_NUMBER, OTHER_WABA)
    prepare(first, WHATSAPP["37-several-entries-changes-messages.json"])

    replay(second, f"{world.server.base_url}/api/webhooks/whatsapp", body, signed_by_meta(body))

    first.settled()
    for house in (first, second):
        house.remove()
    assert list(found(first).said) == WHATSAPP["37-several-entries-changes-messages.json"].said
    assert (found(second).fates, len(found(second).said)) == (("done",), 1)


def chat(*words: str, name: str, called: str, fates: list[str] | None = None) -> Expected:
    lead = {"name": name, "phone": "", "source": "telegram"}
    return Expected(fates or ["done"], words, lead, [called])


TELEGRAM = {
    "01-text.json": chat("Hi, world!", name="FirstName LastName", called="12345678"),
    # Start is a wish to be written to, which a stranger need not have, and a message.
    "02-start-with-payload.json": chat(
        "/start", name="FirstName LastName", called="12345678", fates=["ignored: unknown_lead", "done"]
    ),
    "03-command-with-parameters.json": chat("/register HR John Doe", name="Mario", called="456"),
    "04-photo-with-caption.json": chat("[image] asdasdasdasdasdasd", name="Mario", called="11111111"),
    "05-edited-message.json": chat("Editing this message", name="Mario", called="999999999"),
    "06-callback-query.json": chat("thedata", name="Mario", called="222222222"),
    "07-callback-query-message-null.json": chat("thedata", name="Mario", called="222222222"),
    "08-callback-query-inaccessible-message.json": chat("thedata", name="Mario", called="222222222"),
    "09-my-chat-member-group-admin.json": ignored("from_a_bot"),
    "10-my-chat-member-blocked-by-user.json": Expected(
        known={"called": "987654321"}, lead={"opted_out": SILENCE}, called=["987654321"]
    ),
    # A shared contact without the sender's own user id is somebody else's phone.
    "11-contact.json": chat("[contact] 911 911", name="Mario Bros", called="12345"),
    "12-location.json": chat("[location] 41.899977, 12.501028", name="Mario Bros", called="12345"),
    "13-voice.json": chat("[voice message: 2 s]", name="Mario Bros", called="12345"),
    "14-document-with-caption.json": chat("[document: test.docx] doc description", name="Name", called="12345678"),
    "15-text-with-entities.json": chat("test bold underline 😆👍 look here", name="John Doe", called="321654"),
    "16-migrate-to-supergroup.json": Expected(known={"called": "12345"}, called=["123456789"]),
    "17-channel-post.json": ignored("not_a_private_chat"),
    "18-message-reaction.json": ignored("reaction"),
    "19-business-message.json": ignored("business"),
    "20-reply.json": chat("Reply to quoted message", name="Name", called="12345678"),
    "21-chat-join-request.json": ignored("not_a_private_chat"),
    "22-poll-answer.json": ignored("poll"),
}


@pytest.mark.parametrize("name", TELEGRAM)
def test_telegram(world: World, name: str) -> None:
    house = world.account("telegram", {"botToken": telegram.TOKEN})
    prepare(house, TELEGRAM[name])

    answer = replay(
        house,
        f"{world.server.base_url}/api/webhooks/telegram/{house.integration_id()}",
        (SAMPLES / "telegram" / name).read_bytes(),
        {"Content-Type": "application/json", "X-Telegram-Bot-Api-Secret-Token": house.secret("secretToken")},
    )

    assert answer.status_code == 200
    require(house, TELEGRAM[name])


def mail(words: str, *, name: str) -> Expected:
    return Expected(
        ["done"], [words], {"name": name, "email": "from@example.com", "source": "email"}, ["from@example.com"]
    )


def sent(ours: str, *, opted_out: list[str] | None = None, fate: str = "done") -> Expected:
    return Expected(
        [fate], ours=ours, about="{email_id}", known={"email": "to@example.org"}, lead={"opted_out": opted_out or []}
    )


ATTACHED = "[attachment] test.txt\n[attachment] image/png"
EMAIL = {
    "01-email-received-basic.json": mail("Hello, world!", name="Sender Name"),
    "02-email-received-no-cc-bcc.json": mail("Hi", name="Sender"),
    "03-email-received-no-subject-no-message-id.json": mail(ATTACHED, name="Unknown"),
    "04-email-received-attachments-ids-only.json": mail(ATTACHED, name="Unknown"),
    "05-email-received-reply-in-thread.json": Expected(
        ["done"],
        ["Yes, Thursday works. Two units please."],
        {"name": "Known"},
        ["jose.nunez@example.com"],
        ours="queued",
        about="a message of ours",
        known={"email": "jose.nunez@example.com"},
    ),
    "10-email-sent.json": sent("sent"),
    "11-email-delivered.json": sent("delivered"),
    "12-email-bounced-hard.json": sent("failed"),
    "13-email-bounced-suppressed.json": sent("failed"),
    "14-email-delivery-delayed.json": sent("queued", fate="ignored: delivery_delayed"),
    "15-email-complained.json": sent("delivered", opted_out=SILENCE),
    "16-email-opened.json": sent("read"),
    "17-email-clicked.json": sent("read"),
    "18-email-bounced-current-schema.json": sent("failed"),
    "19-email-suppressed.json": sent("failed"),
    "20-email-failed-quota.json": sent("failed"),
}
BODIES = {"01": "with-raw", "02": "headers-as-lists", "03": "null-bodies", "04": "null-bodies", "05": "html-only-reply"}
NAMED_CONVERSATION = "665f1c2e9b1e8a0012345678"  # by the address that 05 was sent to


def email_account(world: World, event: dict[str, Any]) -> House:
    """An account of the domain that the event is for."""
    about = event["data"]
    address = about["to"][0] if event["type"] == "email.received" else about["from"]
    domain = address.rpartition("@")[2].strip(">")
    body = {
        "fromAddress": f"hello@{domain}",
        "inboundDomain": domain,
        "apiKey": resend.KEY,
        "signingSecret": resend.SECRET,
    }
    return world.account("email", body)


def signed_by_svix(body: bytes) -> dict[str, str]:
    moment = datetime.now(UTC)
    signature = Signer(resend.SECRET).sign("msg_1", moment, body.decode())
    named = {"svix-id": "msg_1", "svix-timestamp": str(int(moment.timestamp())), "svix-signature": signature}
    return {"Content-Type": "application/json", **named}


def holds(world: World, body_name: str) -> None:
    """From now on this is what Resend has of any email that came in."""
    body = json.loads((SAMPLES / "resend" / "api" / f"GET-emails-receiving-{body_name}.json").read_bytes())
    world.resend.forget()
    world.resend.answers(200, body, path="/emails/receiving", times=FOR_EVER)


@pytest.mark.parametrize("name", EMAIL)
def test_email(world: World, name: str) -> None:
    expected, body = EMAIL[name], (SAMPLES / "resend" / name).read_bytes()
    event = json.loads(body)
    house = email_account(world, event)
    message = prepare(house, expected, event["data"]["email_id"], NAMED_CONVERSATION if expected.said else None)
    holds(world, BODIES.get(name[:2], "null-bodies"))

    answer = replay(house, f"{world.server.base_url}/api/webhooks/email", body, signed_by_svix(body))

    house.remove()
    assert answer.status_code == 200
    require(house, expected, message)


def test_automatic_reply_is_not_talked_to(world: World) -> None:
    body = (SAMPLES / "resend" / "01-email-received-basic.json").read_bytes()
    house = email_account(world, json.loads(body))
    holds(world, "autoreply")

    replay(house, f"{world.server.base_url}/api/webhooks/email", body, signed_by_svix(body))

    house.remove()
    require(house, ignored("autoreply"))


def sms(words: str, phone: str = "+15005550010", name: str = "Unknown", called: str = "") -> Expected:
    return Expected(["done"], [words], {"name": name, "phone": phone, "source": "sms"}, [called or phone])


def callback(ours: str, *, fate: str = "done") -> Expected:
    return Expected([fate], ours=ours, about="{MessageSid}", known={"phone": "+15005550010"})


TWILIO = {
    "01-inbound-sms.txt": sms("Hi, is the blue one still available? 50% off & free?"),
    # Twilio has confirmed it: nothing is said, on no channel.
    "02-inbound-stop.txt": Expected(lead={"phone": "+15005550010", "opted_out": SILENCE}, called=["+15005550010"]),
    "03-inbound-emoji-unicode-multisegment.txt": sms("Hóla 👋🏽 ¿cuánto cuesta?\n\nGracias"),
    "04-inbound-mms-empty-body.txt": sms("[image] [contact]"),
    "05-inbound-shortcode-geo-empty.txt": sms("YES", "+447700900123"),
    "06-inbound-alphanumeric-sender.txt": ignored("sender_not_a_person"),
    "07-inbound-whatsapp-via-twilio.txt": sms(
        "Dobroye utro", "+27456897512", name="Chris Smit", called="whatsapp:+27456897512"
    ),
    "10-status-sent.txt": callback("sent"),
    "11-status-delivered.txt": callback("delivered"),
    "12-status-undelivered-30003.txt": callback("failed"),
    "13-status-failed-30007.txt": callback("failed"),
    "14-status-queued.txt": callback("queued", fate="ignored: status_not_ours"),
    "15-status-no-from-no-service.txt": callback("sent"),
    "16-status-undelivered-63016-whatsapp.txt": callback("failed"),
}


@pytest.mark.parametrize("name", TWILIO)
def test_twilio(world: World, name: str) -> None:
    expected, body = TWILIO[name], (SAMPLES / "twilio" / name).read_bytes()
    account = {"accountSid": twilio.ACCOUNT_SID, "from": twilio.SENDER, "authToken": twilio.AUTH_TOKEN}
    house = world.account("sms", account)
    form = dict(parse_qsl(body.decode(), keep_blank_values=True))
    message = prepare(house, expected, form["MessageSid"])
    url = f"{world.server.base_url}/api/webhooks/twilio/{house.integration_id()}"

    answer = replay(house, url, body, twilio.signed(url, form).headers)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/xml; charset=utf-8")
    require(house, expected, message)


@pytest.mark.parametrize(
    ("folder", "table"),
    [("whatsapp", WHATSAPP), ("telegram", TELEGRAM), ("resend", EMAIL), ("twilio", TWILIO)],
    ids=["whatsapp", "telegram", "resend", "twilio"],
)
def test_every_body_has_its_row(folder: str, table: dict[str, Expected]) -> None:
    assert sorted(table) == sorted(path.name for path in (SAMPLES / folder).iterdir() if path.is_file())
