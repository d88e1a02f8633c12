"""An agent that raised: people are told why and where, the log how it came to that."""

import asyncio
import json
import re
from io import StringIO

import pytest
from pydantic import TypeAdapter

from hitl_orchestrator.nodes.mishaps import find_place, tell_mishap, write_traceback
from hitl_orchestrator.nodes.specialist import Task
from tests.test_telemetry import lines
from tests.test_telemetry import log as log

SECRET = "what the person said"
TASK = Task(
    objective=SECRET, facets={"a": SECRET}, context=(), runId="r", threadId="t", stepId="s1"
)


def look_up(name: str) -> str:
    return {"known": "yes"}[name]


def work(task: Task) -> str:
    try:
        return look_up(task.objective)
    except KeyError as error:
        raise ValueError(f"nothing of {task.objective}") from error


def raised() -> Exception:
    with pytest.raises(ValueError, match="nothing of") as found:
        work(TASK)
    return found.value


def test_people_are_told_what_and_where_it_broke() -> None:
    told = tell_mishap(raised(), TASK, "works")
    assert re.fullmatch(rf"ValueError: nothing of {SECRET} \(tests/test_mishaps\.py:\d+\)", told)


def test_the_place_is_told_however_long_the_message() -> None:
    with pytest.raises(ValueError, match="x") as found:
        raise ValueError("x" * 10_000)
    told = tell_mishap(found.value, TASK, "works")
    assert re.search(r"test_mishaps\.py:\d+\)$", told)
    assert len(told) < 2000


def test_the_log_has_the_traceback_and_not_what_the_error_says(log: StringIO) -> None:
    tell_mishap(raised(), TASK, "works")
    (line,) = lines(log)
    assert (line["event"], line["level"], line["logger"]) == (
        "agent_failed",
        "error",
        "hitl.agents",
    )
    of = (line["runId"], line["threadId"], line["stepId"], line["originAgent"])
    assert of == ("r", "t", "s1", "works")
    for part in ("in work", "in look_up", "ValueError", "KeyError", "test_mishaps.py"):
        assert part in line["exception"]
    assert SECRET not in json.dumps(line)


def test_the_place_is_the_agents_own_line_not_a_librarys() -> None:
    with pytest.raises(Exception, match="validation error") as found:
        TypeAdapter(int).validate_python("no number")
    assert re.fullmatch(r"tests/test_mishaps\.py:\d+", find_place(found.value) or "")


async def test_what_a_group_holds_is_in_the_traceback() -> None:
    async def breaks() -> None:
        work(TASK)

    with pytest.raises(ExceptionGroup) as found:
        async with asyncio.TaskGroup() as group:
            group.create_task(breaks())
    written = write_traceback(found.value)
    assert "in breaks" in written
    assert SECRET not in written


def test_an_error_that_was_never_raised_has_no_place() -> None:
    assert find_place(ValueError("x")) is None
    assert tell_mishap(ValueError("x"), TASK, "works") == "ValueError: x"
