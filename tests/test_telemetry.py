"""What the machine hears: a JSON line an event, counts and times, and no word of what people
wrote.
"""

import json
import logging
from collections.abc import Generator
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hitl_orchestrator.domain.events import VOICES, Cause, Event, EventKind
from hitl_orchestrator.domain.hitl import Person
from hitl_orchestrator.domain.run import RunStatus, StoredRun
from hitl_orchestrator.domain.state import RunSettings
from hitl_orchestrator.server.telemetry import Telemetry, log_as_json

NOW = datetime(2026, 11, 22, tzinfo=UTC)
RUN = StoredRun(
    settings=RunSettings(
        runId="run_1",
        threadId="thread_1",
        objective="SECRET objective",
        outputs=("o",),
        maxHitlRequests=3,
    ),
    status=RunStatus.RUNNING,
    createdAt=NOW,
    updatedAt=NOW,
)
ASKED = Event(
    kind=EventKind.QUESTION_ASKED,
    message="requested",
    data={"hitl": {"question": "SECRET"}},
    requestId="req_1",
    originAgent="writer",
)
ANSWERED = Event(
    kind=EventKind.QUESTION_ANSWERED,
    message="occurred",
    data={"hitl": {"response": "SECRET"}},
    requestId="req_1",
    originAgent="writer",
    operator=Person(id="op_1", email="SECRET@example.com"),
    note="SECRET",
    reason="SECRET",
    responseTypes=("rejection", "freeform"),
    seconds=42.0,
)


@pytest.fixture
def log() -> Generator[StringIO]:
    root, hitl = logging.getLogger(), logging.getLogger("hitl")
    before = root.handlers[:], root.level, hitl.level
    stream = StringIO()
    log_as_json(stream)
    yield stream
    root.handlers[:], level, hitl_level = before
    root.setLevel(level)
    hitl.setLevel(hitl_level)


def lines(log: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def metrics(telemetry: Telemetry) -> dict[tuple[str, ...], float]:
    """By name and label values."""
    families = text_string_to_metric_families(telemetry.exposition(2, 60.5, 1).decode())
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_an_event_is_a_line_with_the_ids_it_has(log: StringIO) -> None:
    Telemetry().committed(RUN, [ASKED, ANSWERED])
    asked, answered = lines(log)
    assert asked.pop("at")
    assert asked == {
        "event": "hitl_request_created",
        "level": "info",
        "logger": "hitl",
        "runId": "run_1",
        "threadId": "thread_1",
        "requestId": "req_1",
        "originAgent": "writer",
        "status": "running",
    }
    assert answered["event"] == "hitl_response_recorded"
    assert (answered["operatorId"], answered["seconds"]) == ("op_1", 42.0)


def test_what_people_wrote_is_in_no_line_and_no_label(log: StringIO) -> None:
    telemetry = Telemetry()
    telemetry.committed(
        RUN, [event.but(kind=kind) for kind in EventKind for event in (ASKED, ANSWERED)]
    )
    assert "SECRET" not in log.getvalue()
    assert b"SECRET" not in telemetry.exposition(0, 0, 0)


def test_the_lines_are_the_contracts(log: StringIO) -> None:
    Telemetry().committed(RUN, [ASKED.but(kind=kind) for kind in EventKind])
    assert {line["event"] for line in lines(log)} == {voice.log for voice in VOICES.values()} - {
        None
    }


def test_a_line_of_a_library_is_json_too_with_its_traceback(log: StringIO) -> None:
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("somebody.else").exception("it %s", "failed\nbadly")
    logging.getLogger("somebody.else").info("not worth a line")
    (line,) = lines(log)
    assert (line["event"], line["level"], line["logger"]) == (
        "it failed\nbadly",
        "error",
        "somebody.else",
    )
    assert "ValueError: no" in line["exception"]


STEERING = "\x1b[2J\x9b2J\x85\u061c\u200f\u202e\u2066\u2028 ü 東"


def test_a_line_steers_no_terminal_that_shows_it(log: StringIO) -> None:
    """Though what an agent raised, or a caller named, is in it whole."""
    logging.getLogger("agent").warning("it said %s", STEERING)
    Telemetry().log("run_failed", operatorId=STEERING)
    warned, failed = lines(log)
    assert warned["event"] == f"it said {STEERING}"
    assert failed["operatorId"] == STEERING
    shown = log.getvalue().replace("\n", "")
    assert [mark for mark in STEERING if mark in shown and not mark.isprintable()] == []
    assert "ü 東" in shown, "and can be read"


def test_events_are_counted_by_their_labels() -> None:
    telemetry = Telemetry()
    telemetry.committed(RUN.but(status=RunStatus.QUEUED), [ASKED.but(kind=EventKind.RUN_STARTED)])
    telemetry.committed(
        RUN, [ASKED, ASKED.but(kind=EventKind.QUESTION_DENIED, cause=Cause.LIMIT), ANSWERED]
    )
    telemetry.committed(RUN, [ASKED.but(kind=EventKind.ANSWER_DELIVERED, seconds=0.02)])
    telemetry.committed(
        RUN.but(status=RunStatus.COMPLETED), [ASKED.but(kind=EventKind.RUN_COMPLETED)]
    )
    found = metrics(telemetry)
    expected = {
        ("hitl_queue_depth",): 2,
        ("hitl_oldest_pending_seconds",): 60.5,
        ("hitl_requests_total", "writer"): 2,
        ("hitl_denied_total", "limit"): 1,
        ("hitl_denied_total", "expired"): 0,
        ("hitl_responses_total", "rejection"): 1,
        ("hitl_responses_total", "freeform"): 1,
        ("hitl_wait_seconds_count",): 1,
        ("hitl_wait_seconds_sum",): 42.0,
        ("hitl_resume_seconds_count",): 1,
        ("hitl_resume_seconds_bucket", "0.025"): 1,
        ("runs_total", "queued"): 1,
        ("runs_total", "completed"): 1,
        ("runs_total", "failed"): 0,
    }
    assert {name: found[name] for name in expected} == expected


def test_each_process_counts_for_itself() -> None:
    one, other = Telemetry(), Telemetry()
    one.committed(RUN, [ASKED])
    assert ("hitl_requests_total", "writer") not in metrics(other)
