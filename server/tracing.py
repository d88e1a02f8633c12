"""OpenTelemetry, where its packages are installed and an endpoint is set.

The packages are those of `hitl-orchestrator[otel]`, the endpoint is OTEL_EXPORTER_OTLP_ENDPOINT.

A pause may last for weeks and end in another process, so nothing is kept open: each event is a
short span of its own, in one trace a run, under the span of its start. Trace and span ids are made
of the run's and the request's ids, so any process can link to a question that another one asked:
the answer and the delivery carry span links to it.
"""

import hashlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.domain.events import Event, EventKind
from hitl_orchestrator.domain.run import StoredRun

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"

_TRACED = {
    EventKind.RUN_STARTED: "run start",
    EventKind.QUESTION_ASKED: "question",
    EventKind.QUESTION_DENIED: "question denied",
    EventKind.QUESTION_ANSWERED: "answer",
    EventKind.QUESTION_EXPIRED: "expiry",
    EventKind.QUESTION_REMOVED: "removal",
    EventKind.ANSWER_DELIVERED: "delivery",
    EventKind.RUN_COMPLETED: "run complete",
    EventKind.RUN_FAILED: "run fail",
    EventKind.RUN_CANCELLED: "run cancel",
}


class Trace(Protocol):
    def __call__(self, run: StoredRun, events: Sequence[Event]) -> None: ...


def tracing() -> Trace | None:
    """Return what is told of each event; None: not asked for.

    Raise ConfigurationError when it was and the packages are missing.
    """
    if not os.environ.get(ENDPOINT):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{ENDPOINT} is set, but OpenTelemetry is not installed: "
            "pip install 'hitl-orchestrator[otel]'."
        ) from error
    return traced(BatchSpanProcessor(OTLPSpanExporter()))


def traced(processor: "SpanProcessor") -> Trace:
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Ids(RandomIdGenerator):
        """The next span's ids, when others will name them; else chance."""

        span_id: int | None = None
        trace_id: int | None = None

        def generate_trace_id(self) -> int:
            return self.trace_id or super().generate_trace_id()

        def generate_span_id(self) -> int:
            found, self.span_id = self.span_id, None
            return found or super().generate_span_id()

    ids = Ids()
    provider = TracerProvider(
        resource=Resource.create({"service.name": "hitl-orchestrator"}), id_generator=ids
    )
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("hitl")

    def context(run: StoredRun, of: str) -> trace.SpanContext:
        sampled = trace.TraceFlags(trace.TraceFlags.SAMPLED)
        return trace.SpanContext(
            _number(run.runId, 16), _number(of, 8), is_remote=True, trace_flags=sampled
        )

    def tell(run: StoredRun, event: Event) -> None:
        starts = event.kind is EventKind.RUN_STARTED
        asks = event.kind in (EventKind.QUESTION_ASKED, EventKind.QUESTION_DENIED)
        ids.trace_id = _number(run.runId, 16)
        if starts:
            ids.span_id = _number(run.runId, 8)
        elif asks and event.requestId:
            ids.span_id = _number(event.requestId, 8)
        else:
            ids.span_id = None
        links: list[trace.Link] = []
        if event.requestId is not None and not asks:
            links.append(trace.Link(context(run, event.requestId)))
        parent = trace.set_span_in_context(trace.NonRecordingSpan(context(run, run.runId)))
        tracer.start_span(
            _TRACED[event.kind],
            Context() if starts else parent,
            links=links,
            attributes=_describe(run, event),
        ).end()

    def committed(run: StoredRun, events: Sequence[Event]) -> None:
        for event in events:
            if event.kind in _TRACED:
                tell(run, event)

    return committed


def _describe(run: StoredRun, event: Event) -> dict[str, str]:
    about = {
        "runId": run.runId,
        "threadId": run.threadId,
        "requestId": event.requestId,
        "originAgent": event.originAgent,
    }
    return {f"hitl.{key}": value for key, value in about.items() if value is not None}


def _number(of: str, size: int) -> int:
    """Make an id of a text; never 0, which would be none."""
    return int.from_bytes(hashlib.sha256(of.encode()).digest()[:size], "big") or 1
