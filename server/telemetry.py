"""What machines hear: one JSON line an event, and Prometheus.

Questions, answers and free text go to neither.
"""

import json
import logging
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TextIO, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from hitl_orchestrator.domain.events import VOICES, Cause, Event, EventKind
from hitl_orchestrator.domain.hitl import ResponseType
from hitl_orchestrator.domain.outside import OUTSIDE, find_asker
from hitl_orchestrator.domain.run import ENDED, RunStatus, StoredRun
from hitl_orchestrator.server.steering import escape_steering
from hitl_orchestrator.server.tracing import Trace

# people take minutes to days
WAIT_BUCKETS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 86400, 7 * 86400)
# what `agent_failed` and `loop_blocked` have beside their names
OF_AGENTS = ("runId", "threadId", "stepId", "originAgent", "exception", "place", "seconds")
COUNTING_TOGETHER = "PROMETHEUS_MULTIPROC_DIR"
RESUME_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)
_OF_RUNS = {
    EventKind.RUN_STARTED,
    EventKind.RUN_CANCELLED,
    EventKind.RUN_COMPLETED,
    EventKind.RUN_FAILED,
}


class Telemetry:
    """The counts of one process.

    The gauges are read from the database, and are the same at each server.
    """

    def __init__(self, trace: Trace | None = None) -> None:
        self._trace = trace
        self._log = logging.getLogger("hitl")
        self._registry = CollectorRegistry()
        self._depth = self._gauge("hitl_queue_depth", "Pending requests")
        self._oldest = self._gauge(
            "hitl_oldest_pending_seconds", "Age of the oldest pending request"
        )
        self._held = self._gauge(
            "hitl_held_runs", "Runs that wait for agents that are not plugged in"
        )
        self._requests = Counter(
            "hitl_requests_total",
            "Requests, refused ones among them",
            ["agent"],
            registry=self._registry,
        )
        self._denied = Counter(
            "hitl_denied_total", "Requests denied, by cause", ["reason"], registry=self._registry
        )
        self._responses = Counter(
            "hitl_responses_total", "Responses, by type", ["type"], registry=self._registry
        )
        self._wait = Histogram(
            "hitl_wait_seconds",
            "From question to answer",
            buckets=WAIT_BUCKETS,
            registry=self._registry,
        )
        self._resume = Histogram(
            "hitl_resume_seconds",
            "From answer to delivery",
            buckets=RESUME_BUCKETS,
            registry=self._registry,
        )
        self._runs = Counter(
            "runs_total",
            "Runs, by the status they came to; queued: all",
            ["status"],
            registry=self._registry,
        )
        self._blocked = Counter(
            "hitl_loop_blocked_seconds",
            "For how long an agent kept everything else of this process waiting",
            registry=self._registry,
        )
        for counter, labels in (
            (self._denied, Cause),
            (self._responses, ResponseType),
            (self._runs, [RunStatus.QUEUED, *ENDED]),
        ):
            for label in labels:
                counter.labels(label.value)  # there from the start, at 0

    def _gauge(self, name: str, what: str) -> Gauge:
        # of several processes that count together: what was read last
        return Gauge(name, what, multiprocess_mode="mostrecent", registry=self._registry)

    def committed(self, run: StoredRun, events: Sequence[Event]) -> None:
        if self._trace:
            self._trace(run, events)
        for event in events:
            self._count(run, event)
            if name := VOICES[event.kind].log:
                self.log(
                    name,
                    runId=run.runId,
                    threadId=run.threadId,
                    requestId=event.requestId,
                    originAgent=event.originAgent,
                    operatorId=event.operator and event.operator.id,
                    status=run.status.value,
                    cause=event.cause,
                    seconds=event.seconds,
                )

    def count_blocked(self, seconds: float) -> None:
        """Count how long the event loop stood still. For any thread."""
        self._blocked.inc(seconds)

    def log(self, name: str, **fields: str | float | bool | None) -> None:
        """Write a line; what is None is left out."""
        if not self._log.isEnabledFor(logging.INFO):
            return
        line = {field: value for field, value in fields.items() if value is not None}
        line["event"] = name
        # Not by `info`: it looks who calls, which takes longer than the line.
        self._log.handle(logging.LogRecord("hitl", logging.INFO, "", 0, line, None, None))

    def exposition(
        self, queue_depth: float, oldest_pending_seconds: float, held_runs: float
    ) -> bytes:
        """Write the metrics for Prometheus. NaN: not known now."""
        self._depth.set(queue_depth)
        self._oldest.set(oldest_pending_seconds)
        self._held.set(held_runs)
        return generate_latest(self._find_registry())

    def _find_registry(self) -> CollectorRegistry:
        """Return what is counted here, or by all processes behind the same socket.

        Those count in files of one folder, also for one that died (prometheus_client's own way).
        """
        folder = os.environ.get(COUNTING_TOGETHER)
        if not folder:
            return self._registry
        together = CollectorRegistry()
        MultiProcessCollector(together, folder)
        return together

    def _count(self, run: StoredRun, event: Event) -> None:
        if event.kind in (EventKind.QUESTION_ASKED, EventKind.QUESTION_DENIED):
            # what agents elsewhere call themselves has no end
            is_outside = find_asker(run.settings) is not None
            self._requests.labels(OUTSIDE if is_outside else event.originAgent).inc()
        if event.cause is not None:
            self._denied.labels(event.cause.value).inc()
        for type_ in event.responseTypes:
            self._responses.labels(type_).inc()
        if event.seconds is not None:
            (self._wait if event.kind is EventKind.QUESTION_ANSWERED else self._resume).observe(
                event.seconds
            )
        if event.kind in _OF_RUNS:
            self._runs.labels(run.status.value).inc()


_encode = json.JSONEncoder(ensure_ascii=False, default=repr).encode


class _JsonLines(logging.Formatter):
    """Writes a record as one JSON object. The message of what `Telemetry.log` says is one."""

    def format(self, record: logging.LogRecord) -> str:
        said: object = record.msg
        about = {"level": record.levelname.lower(), "logger": record.name}
        line = cast(dict[str, Any], said) if isinstance(said, dict) else self._read(record)
        line = {**line, **about, "at": _write_time(record.created)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return escape_steering(_encode(line))

    def _read(self, record: logging.LogRecord) -> dict[str, Any]:
        more = {name: getattr(record, name) for name in OF_AGENTS if hasattr(record, name)}
        return {"event": record.getMessage(), **more}


def _write_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def log_as_json(stream: TextIO) -> None:
    """From now on write whatever this process logs as one JSON object a line.

    Also what its libraries warn of.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    # no line has them, and to find them takes as long as the rest of a record
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.getLogger("hitl").setLevel(logging.INFO)
