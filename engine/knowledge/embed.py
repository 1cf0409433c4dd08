"""Vectors of texts: from weights that ship with the `wordllama` wheel, or from an OpenAI-compatible endpoint.

The test environment always takes the former: nothing of it leaves the machine.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import httpx

from engine import authorities
from storage.tenancy import Tenant

from .terms import without_common

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

LOCAL_SIMILARITY = 0.36  # of the weights that newleaf has with it; see `Embedder.least_similarity`
DEFAULT_MODEL = "text-embedding-3-small"
DEFAULT_TIMEOUT_S = 15.0
DEFAULT_SIMILARITY = 0.35
_AT_ONCE = 64  # texts of one request
_MAX_CHARACTERS = 8000  # of a text that is sent: some 2000 tokens, which every such model takes


class EmbeddingsUnavailable(Exception):
    """The endpoint gave no vectors; the message says what it answered."""


class Embedder(Protocol):
    """Makes vectors of unit length, which only compare with those of an embedder of the same name.

    least_similarity: the cosine from which on question and passage begin to have to do with each other.
    weight: how much of a passage's relevance the cosine is, from 0 to 1; the rest are the words that it shares.
    """

    name: str
    least_similarity: float
    weight: float

    def embed(self, texts: Sequence[str]) -> Vectors:
        """A row for each text. Raises EmbeddingsUnavailable."""


@dataclass(frozen=True)
class Endpoint:
    """Where vectors come from. min_similarity: as `Embedder.least_similarity`, different for each model."""

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    model: str = DEFAULT_MODEL
    timeout_s: float = DEFAULT_TIMEOUT_S
    min_similarity: float = DEFAULT_SIMILARITY


_endpoint: Endpoint | None = None


def configure(endpoint: Endpoint | None) -> None:
    """Set where live tenants' vectors come from; None for the weights that newleaf has with it."""
    global _endpoint
    _endpoint = endpoint


def embedder_of(tenant: Tenant) -> Embedder:
    """What makes this tenant's vectors."""
    if _endpoint is None or tenant.environment == "test":
        return _local()
    return _Remote(_endpoint)


@cache
def _local() -> _WordLlama:
    return _WordLlama()


class _WordLlama:
    """The mean of static vectors of a text's tokens, common words half as much: they make all of a language alike.

    The wheel's own code would set up the root logger and look for files on the network, so only its files are used.
    """

    name = "wordllama-256"
    least_similarity = LOCAL_SIMILARITY
    weight = 0.5

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._weights: Any = None
        self._tokenizer: Any = None

    def embed(self, texts: Sequence[str]) -> Vectors:
        self._load()
        telling = [without_common(text) for text in texts]
        return unit(self._means(texts) + self._means(telling))

    def _means(self, texts: Sequence[str]) -> Vectors:
        import numpy as np

        rows = np.zeros((len(texts), self._weights.shape[1]), np.float32)
        tokens = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        for row, encoded in zip(rows, tokens, strict=True):
            if encoded.ids:
                row[:] = self._weights[encoded.ids].astype(np.float32).mean(axis=0)
        return unit(rows)

    def _load(self) -> None:
        with self._lock:
            if self._weights is not None:
                return
            from safetensors.numpy import load_file
            from tokenizers import Tokenizer

            found = importlib.util.find_spec("wordllama")
            folder = Path(cast(list[str], found.submodule_search_locations)[0]) if found else Path()
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
            self._tokenizer.no_padding()
            self._tokenizer.no_truncation()
            self._weights = load_file(folder / "weights" / "l2_supercat_256.safetensors")["embedding.weight"]


def unit(rows: Vectors) -> Vectors:
    """The rows scaled to length 1; zeros stay."""
    import numpy as np

    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Vectors = (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return scaled


class _Remote:
    """`POST {base_url}/embeddings` in OpenAI's form. Such models know other words for the same, and other languages."""

    weight = 0.75

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.name = f"{endpoint.base_url} {endpoint.model}"
        self.least_similarity = endpoint.min_similarity

    def embed(self, texts: Sequence[str]) -> Vectors:
        import numpy as np

        rows: list[list[float]] = []
        with httpx.Client(verify=authorities.usual(), timeout=self._endpoint.timeout_s, trust_env=False) as client:
            for start in range(0, len(texts), _AT_ONCE):
                rows += self._ask(client, [text[:_MAX_CHARACTERS] for text in texts[start : start + _AT_ONCE]])
        if len({len(row) for row in rows}) > 1:
            raise EmbeddingsUnavailable("The embeddings endpoint answered vectors of different lengths")
        return unit(np.array(rows, np.float32).reshape(len(texts), -1))

    def _ask(self, client: httpx.Client, texts: list[str]) -> list[list[float]]:
        endpoint = self._endpoint
        headers = {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
        body = {"model": endpoint.model, "input": texts, "encoding_format": "float"}
        try:
            answer = client.post(f"{endpoint.base_url.rstrip('/')}/embeddings", json=body, headers=headers)
        except httpx.HTTPError as error:
            raise EmbeddingsUnavailable(f"The embeddings endpoint cannot be reached: {type(error).__name__}") from error
        if answer.status_code != httpx.codes.OK:
            raise EmbeddingsUnavailable(f"The embeddings endpoint answered {answer.status_code}")
        try:
            by_place = {
                int(item["index"]): [float(each) for each in item["embedding"]] for item in answer.json()["data"]
            }
            return [by_place[place] for place in range(len(texts))]
        except (ValueError, KeyError, TypeError) as error:
            raise EmbeddingsUnavailable(
                "The embeddings endpoint answered something that is no list of vectors"
            ) from error
