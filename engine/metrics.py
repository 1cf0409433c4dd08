"""What newleaf counts for whoever runs it, and the page that Prometheus reads.

The values of a label are few and all of them ours: never an id, an address, or a text from outside. A process counts
for itself; those that share the folder `PROMETHEUS_MULTIPROC_DIR` are counted together, whichever of them is asked. The
outbox is everybody's: its gauges come from the database as the page is read.
"""

from __future__ import annotations

import hmac
import os
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib import metadata
from ipaddress import ip_address

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from storage import clock, outbox, readiness
from storage.errors import Forbidden, Unauthenticated

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # read by the library as it is imported
_PROXIED = ("forwarded", "x-forwarded-for")

disable_created_metrics()  # a second series beside each, for what the start time tells

JOBS = Histogram(
    "newleaf_job_duration_seconds",
    "Rows of the outbox that were worked on. Handed over: another thread ends it.",
    ["kind", "outcome"],
    buckets=(0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
MESSAGES = Counter(
    "newleaf_messages",
    "Messages decided on: forbidden or held by a rule, else what came of the call to the provider.",
    ["channel", "outcome"],
)
EVENT_CALLS = Histogram(
    "newleaf_event_call_duration_seconds",
    "Calls that told an event to a subscriber.",
    ["outcome"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
_START = Gauge(
    "newleaf_start_time_seconds", "When the first of the processes began, in Unix time.", multiprocess_mode="min"
)
_START.set(time.time())

_token: str | None = None


def configure(token: str | None) -> None:
    """Say what a reader of the page has to show; None leaves it to those on this machine."""
    global _token
    _token = token


def require_reader(address: str, headers: Mapping[str, str]) -> None:
    """Refuse whoever may not read the page. headers: by name in lower case.

    Raises Unauthenticated: not the token that is set; Forbidden: none is set, and the request is not from this machine.
    """
    if _token is not None:
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(shown.strip(" ").encode("latin-1"), _token.encode()):
            raise Unauthenticated("invalid_metrics_token", "Invalid metrics token")
    elif any(name in headers for name in _PROXIED) or not _is_loopback(address):
        raise Forbidden("metrics_are_local", "Without NEWLEAF_METRICS_TOKEN only this machine is answered.")


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def page() -> bytes:
    """Everything as it stands, in the text format 0.0.4. Without the database only what comes from it is missing."""
    counted = REGISTRY
    if SHARED_FOLDER in os.environ:
        counted = CollectorRegistry()
        MultiProcessCollector(counted)
    found = CollectorRegistry()
    found.register(_Found(clock.now()))
    return generate_latest(counted) + generate_latest(found)


class _Found(Collector):
    """What is not counted but found as the page is read."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The version, whether the database answers, and the outbox."""
        build = GaugeMetricFamily("newleaf_build_info", "The version that runs.", labels=["version"])
        build.add_metric([metadata.version("newleaf")], 1)
        yield build
        answers = GaugeMetricFamily("newleaf_database_up", "Whether the database answers.")
        try:
            depths = outbox.depths(self._now)
        except readiness.AWAY:
            answers.add_metric([], 0)
            yield answers
            return
        answers.add_metric([], 1)
        yield answers
        yield from self._outbox(depths)

    def _outbox(self, depths: list[outbox.Depth]) -> Iterator[GaugeMetricFamily]:
        rows = GaugeMetricFamily(
            "newleaf_outbox_rows",
            f"Rows of the outbox that are not done; counted are the first {outbox.MOST_COUNTED} to come due, "
            "and as many parked ones.",
            labels=["kind", "stage"],
        )
        age = GaugeMetricFamily(
            "newleaf_outbox_oldest_due_seconds", "For how long the oldest due row has been due.", labels=["kind"]
        )
        for each in depths:
            rows.add_metric([each.kind, each.stage], each.rows)
            if each.stage == "due":
                age.add_metric([each.kind], (self._now - clock.parse(each.since)).total_seconds())
        yield rows
        yield age
