"""The pause does not break the trace: what followed a question links to it, in whatever process it
happened.
"""

from datetime import UTC, datetime

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from hitl_orchestrator.domain import events
from hitl_orchestrator.domain.events import Event, EventKind
from hitl_orchestrator.domain.hitl import (
    Answered,
    Contract,
    ContractSummary,
    FacetNames,
    HitlRequest,
    Kind,
    RequestStatus,
    ResponseType,
)
from hitl_orchestrator.domain.run import RunStatus, StoredRun
from hitl_orchestrator.domain.state import RunSettings
from hitl_orchestrator.server.tracing import traced

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUN = StoredRun(
    settings=RunSettings(
        runId="run_1", threadId="thread_1", objective="trace", outputs=("x",), maxHitlRequests=3
    ),
    status=RunStatus.RUNNING,
    createdAt=NOW,
    updatedAt=NOW,
)
REQUEST = HitlRequest(
    requestId="hitl_1",
    runId="run_1",
    threadId="thread_1",
    stepId="s1",
    originAgent="asker",
    status=RequestStatus.PENDING,
    kind=Kind.FREEFORM,
    question="Which way?",
    operatorPrompt="",
    pendingNodeId="asker",
    contractSummary=ContractSummary(
        nodeId="asker",
        nodeLabel="Asker",
        capabilityId="asker",
        capabilityLabel="Asker",
        planVersion=1,
        facets=FacetNames(input=(), output=()),
        contract=Contract(input={}, output={}),
    ),
)


def test_an_answer_and_its_delivery_in_other_processes_link_to_the_question_of_the_same_trace() -> (
    None
):
    exporter = InMemorySpanExporter()
    asking, answering, delivering = (traced(SimpleSpanProcessor(exporter)) for _ in range(3))
    answer = Answered(responseType=ResponseType.FREEFORM, freeformText="left")

    asking(RUN, [Event(kind=EventKind.RUN_STARTED, message=""), events.asked(REQUEST)])
    answering(
        RUN,
        [
            events.ended(
                EventKind.QUESTION_ANSWERED, REQUEST.but(status=RequestStatus.RESOLVED), answer
            )
        ],
    )
    delivering(RUN, [events.delivered(REQUEST)])

    spans = {span.name: span for span in exporter.get_finished_spans()}
    question = spans["question"].context
    assert question is not None
    assert {span.context.trace_id for span in spans.values() if span.context} == {question.trace_id}
    start = spans["run start"].context
    assert start is not None
    assert {span.parent.span_id for span in spans.values() if span.parent} == {start.span_id}
    assert [
        link.context.span_id for name in ("answer", "delivery") for link in spans[name].links
    ] == [question.span_id] * 2
    assert "left" not in str([dict(span.attributes or {}) for span in spans.values()]), (
        "answers are not traced"
    )
