"""Storage refuses another tenant's rows even to a caller who holds one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.security import worlds
from tests.security.probes import PROBES, Probe
from tests.security.worlds import PAIRS, Pair


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.__name__)
def test_a_row_of_another_tenant_is_out_of_reach(database: Any, probe: Probe, pair: Pair) -> None:
    assert probe(worlds.make(pair)) is None
