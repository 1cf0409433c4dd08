"""Retrieval over real documents: how often the right one is among the first five, and how often silence is right.

The figures are said as they are measured (`pytest -s`): for words alone, for vectors alone, and for both as `search`
does it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.jobs import worker
from engine.knowledge import documents, index, retrieval, search, vectors  # noqa: F401 (index declares the job)
from engine.knowledge.embed import embedder_of
from engine.knowledge.retrieval import _Corpus, terms
from storage import accounts, database, knowledge, knowledge_chunks, knowledge_documents, migrate
from storage.tenancy import Tenant
from tests.conftest import ACTOR

SAMPLES = Path(os.environ.get("NEWLEAF_SAMPLES", Path(__file__).parents[3] / "shared" / "samples")) / "knowledge"

if not SAMPLES.is_dir():
    raise FileNotFoundError(
        f"The samples are not part of the repository: NEWLEAF_SAMPLES must name them, not {SAMPLES}"
    )
SCAN = "files/MEDRPT-2024-PAT-3847_medical_report_scan.pdf"

# What is asked, and the documents that answer it.
QUESTIONS = [
    (
        "How do I stop getting security codes that I did not ask for?",
        ["faq/fraud-concerns--i-am-receiving-security-codes-that-i-did-not-request.en.md"],
    ),
    (
        "How long is a one-time code valid?",
        ["faq/create-account--authentication-methods--text-sms-or-phone-call.en.md"],
    ),
    ("I never got the confirmation email, what now?", ["faq/create-account--issues-creating-an-account.en.md"]),
    (
        "What is the minimum length of a password?",
        ["faq/create-account--issues-creating-an-account.en.md", "faq/manage-your-account--change-your-password.en.md"],
    ),
    ("Someone called me demanding gift cards, is that real?", ["faq/fraud-concerns--common-scams.en.md"]),
    ("Where can I see which devices were used to sign in?", ["faq/fraud-concerns--fraud-concerns.en.md"]),
    (
        "How do I know whether an email really comes from a government agency?",
        ["faq/fraud-concerns--verify-messages.en.md", "faq/fraud-concerns--common-scams.en.md"],
    ),
    ("I want to get rid of my account for good", ["faq/manage-your-account--delete-your-account.en.md"]),
    (
        "How many hours do I wait when I delete an account that I am locked out of?",
        ["faq/manage-your-account--delete-your-account.en.md"],
    ),
    ("Swap the mobile number on my profile", ["faq/manage-your-account--change-your-phone-number.en.md"]),
    (
        "Can I use a VOIP number?",
        [
            "faq/create-account--issues-creating-an-account.en.md",
            "faq/manage-your-account--change-your-phone-number.en.md",
            "faq/manage-your-account--add-or-change-your-authentication-method.en.md",
        ],
    ),
    (
        "Why was my account deactivated after a password reset?",
        ["faq/manage-your-account--deactivated.en.md", "faq/manage-your-account--change-your-password.en.md"],
    ),
    (
        "I have two accounts with the same verified identity",
        ["faq/manage-your-account--resolve-duplicate-account.en.md"],
    ),
    ("What does error code LG33 mean?", ["faq/manage-your-account--resolve-duplicate-account.en.md"]),
    (
        "My authenticator app says the code is wrong because the clock is off",
        ["faq/trouble-signing-in--authentication--issues-with-authentication-application.en.md"],
    ),
    (
        "Do I have to pay for Google Authenticator codes?",
        ["faq/trouble-signing-in--authentication--issues-with-authentication-application.en.md"],
    ),
    ("Change the e-mail that a partner agency sees", ["faq/manage-your-account--change-partner-email-address.en.md"]),
    (
        "The partner website no longer knows me after I changed my email",
        ["faq/manage-your-account--relink-your-accounts.en.md"],
    ),
    ("¿Cómo elimino mi cuenta?", ["faq/manage-your-account--delete-your-account.es.md"]),
    (
        "¿Cuánto tarda en caducar el código de un solo uso?",
        ["faq/create-account--authentication-methods--text-sms-or-phone-call.es.md"],
    ),
    ("Quiero cambiar el número de teléfono de mi perfil", ["faq/manage-your-account--change-your-phone-number.es.md"]),
    ("no me llega el correo de confirmacion", ["faq/create-account--issues-creating-an-account.es.md"]),
    (
        "¿Cuántos caracteres debe tener la contraseña?",
        ["faq/create-account--issues-creating-an-account.es.md", "faq/manage-your-account--change-your-password.es.md"],
    ),
    ("Recibo códigos que no pedí", ["faq/fraud-concerns--i-am-receiving-security-codes-that-i-did-not-request.es.md"]),
    ("Me llamaron pidiendo tarjetas de regalo", ["faq/fraud-concerns--common-scams.es.md"]),
    ("¿Por qué desactivaron mi cuenta?", ["faq/manage-your-account--deactivated.es.md"]),
    ("Tengo dos cuentas duplicadas", ["faq/manage-your-account--resolve-duplicate-account.es.md"]),
    (
        "La aplicación de autenticación no funciona en mi teléfono nuevo",
        ["faq/trouble-signing-in--authentication--issues-with-authentication-application.es.md"],
    ),
    ("¿Cómo denuncio una actividad sospechosa?", ["faq/fraud-concerns--report-suspicious-activity.es.md"]),
    ("What is the maximum size of an SQLite database?", ["site/limits.html"]),
    ("How do I create an AUTOINCREMENT field?", ["site/faq.html"]),
    ("How many columns may a table have at most?", ["site/limits.html"]),
    ("Can several programs open the same database file at once?", ["site/faq.html", "site/serverless.html"]),
    ("Is it safe to copy the file while a transaction is running?", ["site/howtocorrupt.html"]),
    ("Can I put the database on a network drive shared by many computers?", ["site/whentouse.html", "site/faq.html"]),
    ("Do I need a licence to sell a product that contains it?", ["site/copyright.html", "site/about.html"]),
    ("How do I copy a database that is in use to another file?", ["site/backup.html"]),
    (
        "What happens to half-finished changes when the power fails?",
        ["site/transactional.html", "site/howtocorrupt.html"],
    ),
    ("Which functions of the C standard library does it need?", ["site/selfcontained.html"]),
    ("How small is the library when fully configured?", ["site/about.html", "site/features.html"]),
    ("How many smartphones run it?", ["site/mostdeployed.html"]),
    ("Why does deleting a lot of rows not make the file smaller?", ["site/faq.html"]),
    ("How much did the portable SSD cost?", ["files/RECEIPT-2024-TXN-98765_retail_purchase.pdf"]),
    ("Within how many days can I return electronics?", ["files/RECEIPT-2024-TXN-98765_retail_purchase.pdf"]),
    ("What is the unit cost of SKU-4563?", ["files/SPARSE-2024-INV-1234_borderless_table.pdf"]),
    ("Who prepared the inventory report?", ["files/SPARSE-2024-INV-1234_borderless_table.pdf"]),
    ("What is the gross amount of the Starlight Cinemas booking?", ["files/movie-theater-booking-2024.pdf"]),
    ("Which payment terms does the booking agency have?", ["files/movie-theater-booking-2024.pdf"]),
    ("Which framework lets agents converse with each other?", ["files/test_with_comment.docx"]),
    ("Did tuning parameters make GPT-4 cheaper on math problems?", ["files/test_blog.html"]),
    ("名古屋に住んでいる人は何歳ですか", ["files/test_mskanji.csv"]),
    ("Contributors who disclaim copyright interest", ["files/sqlite-copyright-release.pdf"]),
    (
        "Who do I tell that a stranger got into my account?",
        ["faq/fraud-concerns--report-suspicious-activity.en.md", "faq/fraud-concerns--fraud-concerns.en.md"],
    ),
    (
        "Which second factor protects best against phishing?",
        [
            "faq/create-account--authentication-methods.en.md",
            "faq/manage-your-account--add-or-change-your-authentication-method.en.md",
            "faq/fraud-concerns--protect-account-from-fraud.en.md",
        ],
    ),
    (
        "I lost my backup codes",
        [
            "faq/create-account--authentication-methods.en.md",
            "faq/manage-your-account--add-or-change-your-authentication-method.en.md",
        ],
    ),
    (
        "Add a second email address to my login",
        [
            "faq/manage-your-account--change-your-email-address.en.md",
            "faq/manage-your-account--resolve-duplicate-account.en.md",
        ],
    ),
    (
        "¿Qué hago si alguien entró en mi cuenta?",
        [
            "faq/fraud-concerns--report-suspicious-activity.es.md",
            "faq/fraud-concerns--fraud-concerns.es.md",
            "faq/fraud-concerns--protect-account-from-fraud.es.md",
        ],
    ),
    (
        "¿Puedo usar un número VOIP?",
        [
            "faq/create-account--issues-creating-an-account.es.md",
            "faq/manage-your-account--change-your-phone-number.es.md",
            "faq/manage-your-account--add-or-change-your-authentication-method.es.md",
        ],
    ),
    (
        "¿Cómo sé si un mensaje es realmente del gobierno?",
        ["faq/fraud-concerns--verify-messages.es.md", "faq/fraud-concerns--common-scams.es.md"],
    ),
    ("Does it run on Windows and Android?", ["site/features.html", "site/selfcontained.html", "site/about.html"]),
    ("Which SQL commands free unused pages?", ["site/faq.html"]),
    (
        "Is there a server process to configure?",
        ["site/zeroconf.html", "site/serverless.html", "site/different.html", "site/about.html"],
    ),
    ("What was the holiday movie package called?", ["files/movie-theater-booking-2024.pdf"]),
    ("How many points does the rewards member have in total?", ["files/RECEIPT-2024-TXN-98765_retail_purchase.pdf"]),
]
NOTHING = [
    "Do you deliver on Sundays?",
    "What are your opening hours?",
    "How much does a haircut cost?",
    "Which wine goes with grilled salmon?",
    "Can I bring my dog to the hotel?",
    "What is the weather like in Oslo tomorrow?",
    "¿Cuánto cuesta el envío a Canarias?",
    "¿Tienen habitaciones con vista al mar?",
    "Do you offer yoga classes for beginners?",
    "How do I descale my coffee machine?",
    "Is breakfast included in the room price?",
    "¿A qué hora abre la piscina?",
    "Who won the football match last night?",
    "Do you repair bicycles?",
    "Wie lange dauert die Lieferung?",
    "Is the lasagna gluten-free?",
    "How tall is the Eiffel Tower?",
    "Do you have vegan options?",
    "¿Dónde puedo aparcar el coche?",
    "What size shoes should I order?",
    "Can you recommend a dentist?",
    "When does the next train leave?",
    "¿Hacen descuentos para grupos?",
    "How long does the battery last?",
]

Ranked = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def library(tmp_path_factory: Any) -> Iterator[tuple[Tenant, Any]]:
    """A knowledge base of all samples that were not made from others."""
    opened = database.connect(f"sqlite:///{tmp_path_factory.mktemp('library')}/newleaf.db")
    migrate.upgrade()
    with database.connection():
        tenant = accounts.tenant_row(accounts.create("Example").id, "test").tenant
        base = documents.create_base(tenant, name="Samples", description="", type_="internal", actor=ACTOR)
        for path in sorted(SAMPLES.glob("*/*")):
            if path.suffix in (".md", ".html", ".pdf", ".docx", ".csv") and ".expected" not in path.name:
                documents.add_document(
                    tenant,
                    base,
                    content=path.read_bytes(),
                    source_type="file",
                    source_url=str(path.relative_to(SAMPLES)),
                    file_name=path.name,
                    actor=ACTOR,
                )
    while worker.work_next():
        continue
    yield tenant, knowledge.get(tenant, base.oid)
    opened.close_all()


@pytest.fixture(scope="module")
def ranked(library: tuple[Tenant, Any]) -> dict[str, Ranked]:
    """What each way of ranking answers: the addresses of passages, best first."""
    tenant, base = library
    embedder = embedder_of(tenant)

    def corpus() -> _Corpus:
        return _Corpus(tenant, [vectors.load(tenant, base, embedder.name)], None, embedder)

    def sources(chunk_ids: list[int]) -> list[str]:
        rows = knowledge_chunks.shown(tenant, chunk_ids)
        return [str(rows[each][1].source_url) for each in chunk_ids]

    def by_words(query: str) -> list[str]:
        whole = corpus()
        rarity = whole._rarity(terms(query))
        return sources(whole._by_words(rarity, whole._holding(rarity))[:5])

    def by_vectors(query: str) -> list[str]:
        return sources(corpus()._by_meaning(embedder.embed([query])[0])[:5])

    def both(query: str) -> list[str]:
        return [str(found.source_url) for found in search(tenant, [base.oid], query)]

    def never_silent(query: str) -> list[str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(retrieval, "RELEVANT", 0.0)
            return both(query)

    return {
        "words alone (BM25)": by_words,
        "vectors alone": by_vectors,
        "both, never silent": never_silent,
        "both": both,
    }


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def recall(ranking: Ranked, depth: int, asked: Callable[[str], str] = str) -> float:
    """In how many of the questions one of the right documents is among the first `depth` passages."""
    right = [any(each in ranking(asked(query))[:depth] for each in expected) for query, expected in QUESTIONS]
    return sum(right) / len(right)


def after_a_greeting(query: str) -> str:
    return f"Hi, this is Ada from Example Ltd. Thanks a lot for your message yesterday! {query}"


def test_every_sample_is_ready_but_the_scan(library):
    tenant, base = library

    found, total, _ = knowledge_documents.page(tenant, base, limit=100)

    assert total == 67
    assert {row.source_url: row.failure_code for row in found if row.status != "ready"} == {SCAN: "no_text"}


def test_right_document_is_among_the_first_five(ranked):
    say(f"\n{len(QUESTIONS)} questions           recall@5  @1")
    figures = {name: (recall(ranking, 5), recall(ranking, 1)) for name, ranking in ranked.items()}
    for name, (five, one) in figures.items():
        say(f"{name:22} {five:8.1%} {one:7.1%}")

    assert figures["both"] >= (0.9, 0.8)
    assert figures["both, never silent"][0] > max(figures["words alone (BM25)"][0], figures["vectors alone"][0])


def test_greeting_does_not_hide_the_question(ranked):
    found = recall(ranked["both"], 5, after_a_greeting)
    say(f"\nafter a greeting       {found:8.1%}")

    assert found >= 0.9


def test_silence_where_nothing_is_relevant(ranked):
    loud = {query: found for query in NOTHING if (found := ranked["both"](query))}
    silent_wrongly = [query for query, _ in QUESTIONS if not ranked["both"](query)]
    say(f"\n{len(NOTHING)} without an answer: silent in {1 - len(loud) / len(NOTHING):.1%}, loud for {list(loud)}")
    say(f"{len(QUESTIONS)} with one: silent in {len(silent_wrongly) / len(QUESTIONS):.1%}, for {silent_wrongly}")

    assert len(loud) / len(NOTHING) <= 0.15
    assert len(silent_wrongly) / len(QUESTIONS) <= 0.08


def test_passages_are_cut_out_of_the_documents(library):
    tenant, base = library

    for found in search(tenant, [base.oid], "What is the maximum number of columns in a table?", limit=20):
        content = knowledge_documents.get(tenant, base, found.document_id).content
        assert content[found.start : found.end] == found.text
