"""The house rules of the contract: what every operation, response and schema of it must have.

A validator of OpenAPI says whether a document is legal; these rules say whether it is good: whether a client can be
generated with good names, a fuzzer knows what to send, and a reader learns what to call next. They look at the bundle
of `server.contract`, as generators and fuzzers do. A rule is a function that yields a line per breach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from server.contract import Json
from server.rules import links, operations, schemas
from server.rules.view import Contract

Rule = Callable[[Contract], Iterator[str]]

PRECONDITIONS: tuple[Rule, ...] = (operations.references, operations.keys)
RULES: tuple[Rule, ...] = (
    operations.names,
    operations.texts,
    operations.extensions,
    operations.scopes,
    operations.parameters,
    operations.conditional_writes,
    operations.statuses,
    operations.headers,
    operations.pages,
    operations.errors,
    operations.path_order,
    schemas.bodies,
    schemas.objects,
    schemas.bounds,
    schemas.properties,
    schemas.examples,
    links.links,
    links.complete_links,
)


def problems(document: Json) -> list[str]:
    """Where this bundled document breaks the rules of the house, a line each; empty if nowhere.

    A document with broken references or incomplete operations is judged by those alone.
    """
    contract = Contract(document)
    fundamental = [problem for rule in PRECONDITIONS for problem in rule(contract)]
    return fundamental or list(dict.fromkeys(problem for rule in RULES for problem in rule(contract)))
