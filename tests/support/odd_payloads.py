"""JSON that no provider documents: anything at all, and documented payloads with one value replaced or missing."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 2**63, 10**400, 253_402_300_800]),
    st.floats(),
    st.text(st.characters(codec=None), max_size=20),  # NUL and lone surrogates too
)
ANYTHING = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
_MISSING = object()


@st.composite
def near(draw: st.DrawFn, samples: Sequence[Any]) -> Any:
    """One of the samples, somewhat wrong in up to three places."""
    payload = copy.deepcopy(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(payload))
        if not places:
            break
        holder, name = draw(st.sampled_from(places))
        wrong = draw(st.just(_MISSING) | ANYTHING)
        if wrong is _MISSING:
            del holder[name]
        else:
            holder[name] = wrong
    return payload


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in list(members):
        yield value, name
        yield from _places(member)
