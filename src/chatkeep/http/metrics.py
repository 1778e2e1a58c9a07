"""Metrics for Prometheus: requests by route template, failed recordings, and the size of the store."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from chatkeep.sessions.sessions import Sessions

_log = logging.getLogger("chatkeep")

METRICS_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The metrics of one application, in a separate registry."""

    def __init__(self, sessions: Sessions) -> None:
        """Take the sessions; each exposition counts them anew."""
        self._registry = CollectorRegistry()
        labels = ("route", "method")
        self._requests = Counter(
            "chatkeep_http_requests", "Requests answered.", (*labels, "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "chatkeep_http_request_seconds", "Time to answer a request.", labels, registry=self._registry
        )
        self._missed = Counter(
            "chatkeep_recording_failures",
            "Calls not recorded, or not whole.",
            ("stage", "code"),
            registry=self._registry,
        )
        self._told = Counter(
            "chatkeep_webhook_requests",
            "Requests to webhooks: sent, failed tries, and those given up (dead).",
            ("webhook", "outcome"),
            registry=self._registry,
        )
        self._registry.register(_Stored(sessions))
        self._counted: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def seen(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answer, and the seconds it took."""
        kinds = (route, method, status)
        counted = self._counted.get(kinds)
        if counted is None:  # few: templates, known methods, statuses
            counted = self._counted[kinds] = (
                self._requests.labels(route, method, str(status)),
                self._seconds.labels(route, method),
            )
        counted[0].inc()
        counted[1].observe(seconds)

    def missed(self, stage: str, code: str) -> None:
        """Count and log a failed recording: the stage (`request` or `answer`) and the error code, no content."""
        self._missed.labels(stage, code).inc()
        _log.warning("not recorded: %s: %s", stage, code)

    def told_webhook(self, name: str, outcome: str) -> None:
        """Count a request to a webhook: `sent`, `failed` or `dead`."""
        self._told.labels(name, outcome).inc()

    def exposition(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self._registry)


class _Stored(Collector):
    """Reads the counts from the store at each exposition."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Yield nothing: otherwise registering would count the store."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        status = self._sessions.status()
        yield GaugeMetricFamily("chatkeep_sessions", "Sessions stored.", status.session_count)
        yield GaugeMetricFamily("chatkeep_messages", "Messages stored.", status.message_count)
        yield GaugeMetricFamily("chatkeep_stored_bytes", "Bytes that sessions take.", status.size_bytes)
        yield GaugeMetricFamily("chatkeep_problems", "Stored things that cannot be served.", len(status.problems))
