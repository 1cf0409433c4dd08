"""A party for the scopes, the matrix for tenancy: both over the server that the whole session shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine import channels, vault
from engine.channels import Endpoints
from storage import database
from tests.conftest import NO_PROVIDER, SECRET_KEY, Served
from tests.security.matrix import Matrix
from tests.support.contract_client import ContractClient


@pytest.fixture(autouse=True)
def apart() -> Iterator[None]:
    """This process seals as the server does, and reaches no provider."""
    vault.configure(SECRET_KEY)
    channels.configure(Endpoints(*[NO_PROVIDER] * 4))
    yield
    channels.configure(Endpoints())
    vault.configure(None)


@pytest.fixture(scope="module")
def matrix(served: Served) -> Iterator[Matrix]:
    """The matrix over the running server, every answer held against the contract."""
    with ContractClient(served.base_url) as client:
        yield Matrix(client)


@pytest.fixture
def beside(served: Served) -> Iterator[None]:
    """This process connected to the running server's database."""
    opened = database.connect(served.database_url)
    with database.connection():
        yield
    opened.close_all()
