"""AG-UI's own client, `@ag-ui/client`, starts runs and answers their questions."""

import json
from collections.abc import Generator, Mapping
from typing import Any
from uuid import uuid4

import pytest

from tests.api.calls import QUESTIONS, Json
from tests.clients.conftest import Served
from tests.clients.npm import Program, program

CLIENT = "@ag-ui/client@1.0.0"
YES: Mapping[str, Any] = {"approved": True}


@pytest.fixture(scope="module")
def javascript() -> Generator[Program]:
    with program("agui.mjs", CLIENT) as running:
        yield running


class Front:
    """An application's agent, on a thread of its own, if it is not told another's."""

    def __init__(
        self, javascript: Program, served: Served, key: str = "ada", thread_id: str = ""
    ) -> None:
        self._javascript, self._name = javascript, uuid4().hex
        self.thread_id = thread_id or f"thread-{self._name}"
        self._act("open", url=served.server.url, key=served.keys[key], threadId=self.thread_id)

    def _act(self, act: str, **said: Any) -> Any:
        return self._javascript.ask(act=act, name=self._name, **said)

    def start(self, run_id: str = "run-1", **props: Any) -> Json:
        self._act("say", text="Ask")
        return self._act("run", runId=run_id, forwardedProps={"hitl": props})

    def ask(self, question: Any) -> Json:
        return self.start(inputs={"question": question}, outputs=["answer"])

    def resume(self, entries: list[Json]) -> Json:
        return self._act("run", runId=uuid4().hex, resume=entries)

    def answer_all(self, **answers: Any) -> list[Json]:
        """Build the client's own resume. `answers`: by interrupt; None cancels."""
        responses = {
            interrupt_id: {"status": "cancelled"}
            if payload is None
            else {"status": "resolved", "payload": payload}
            for interrupt_id, payload in answers.items()
        }
        return self._act("build", responses=responses)


def types_of(told: Json) -> list[str]:
    return [event["type"] for event in told["events"]]


def ids_of(told: Json) -> list[str]:
    return [interrupt["id"] for interrupt in told["pending"]]


def error_of(told: Json) -> tuple[str, str]:
    """The code and the words of the error that the run ends with."""
    last = told["events"][-1]
    assert last["type"] == "RUN_ERROR", told
    return last["code"], last["message"]


def test_an_action_is_shown_as_a_tools_call_edited_approved_and_done(
    javascript: Program, served: Served
) -> None:
    front = Front(javascript, served)
    asked = front.ask(QUESTIONS["approval"])
    assert asked["problems"] == []
    (interrupt,) = asked["pending"]
    assert (interrupt["reason"], interrupt["toolCallId"]) == ("tool_call", interrupt["id"])
    assert interrupt["metadata"]["action"]["arguments"] == {"to": "all"}
    calls = [event for event in asked["events"] if event["type"] == "TOOL_CALL_ARGS"]
    assert [json.loads(call["delta"]) for call in calls] == [{"to": "all"}]

    edited = {**YES, "editedArgs": {"to": "one"}}
    done = front.resume(front.answer_all(**{interrupt["id"]: edited}))
    assert (done["problems"], done["pending"]) == ([], [])
    assert "TOOL_CALL_RESULT" in types_of(done)
    last = done["events"][-1]
    assert (last["type"], last["outcome"]) == ("RUN_FINISHED", {"type": "success"})
    answer = last["result"]["outputs"]["answer"]
    assert (answer["approved"], answer["editedArguments"]) == (True, {"to": "one"})
    assert answer["responder"]["id"] == "ada", "the operator is the key's name"


def test_a_question_that_is_no_action_is_no_tools_call(javascript: Program, served: Served) -> None:
    front = Front(javascript, served)
    asked = front.ask(QUESTIONS["choice"])
    (interrupt,) = asked["pending"]
    assert interrupt["reason"] == "input_required"
    done = front.resume(front.answer_all(**{interrupt["id"]: {"option": "b"}}))
    assert done["events"][-1]["result"]["outputs"]["answer"]["selectedOptionId"] == "b"
    assert not [name for name in types_of(asked) + types_of(done) if name.startswith("TOOL")]


def test_the_same_resume_twice_is_safe_and_a_stale_click_decides_nothing(
    javascript: Program, served: Served
) -> None:
    front = Front(javascript, served)
    (request_id,) = ids_of(front.ask(QUESTIONS["approval"]))
    entries = front.answer_all(**{request_id: {"approved": False, "reason": "No"}})
    stale = front.answer_all(**{request_id: YES})
    first, again = front.resume(entries), front.resume(entries)
    assert first["events"][-1]["result"] == again["events"][-1]["result"]
    code, words = error_of(front.resume(stale))
    assert code == "request-not-pending"
    assert "ada" in words


def test_parallel_questions_are_answered_together_or_not_at_all(
    javascript: Program, served: Served
) -> None:
    front = Front(javascript, served)
    ids = ids_of(front.start(outputs=["survey"]))
    assert len(ids) == 3
    answers: Json = {request_id: {"text": "here"} for request_id in ids}
    entries = front.answer_all(**answers)
    stranger = {"interruptId": "hitl_nobody", "status": "resolved", "payload": {"text": "x"}}
    assert error_of(front.resume([*entries, stranger]))[0] == "not-found"
    misfit = {**entries[0], "payload": {"text": ""}}
    assert error_of(front.resume([*entries[1:], misfit]))[0] == "invalid"

    told = front.resume(front.answer_all(**{**answers, ids[0]: None}))
    assert len(ids_of(told)) == 1, "the one that asks twice asks again: nothing was taken before"
    done = front.resume(front.answer_all(**{ids_of(told)[0]: {"text": "there"}}))
    said = " ".join(done["events"][-1]["result"]["outputs"]["survey"]["said"])
    assert said.count("Cancelled by the user") == 1
    assert (said.count(" here"), said.count(" there")) == (2, 1)


@pytest.mark.parametrize(
    "payload", [True, "yes", None, 1, [YES], {}, {"approve": True}, {**YES, "sure": 1}], ids=str
)
def test_what_is_no_decision_decides_nothing(
    payload: Any, javascript: Program, served: Served
) -> None:
    front = Front(javascript, served)
    (request_id,) = ids_of(front.ask(QUESTIONS["approval"]))
    entry = {"interruptId": request_id, "status": "resolved", "payload": payload}
    assert error_of(front.resume([entry]))[0] == "invalid"
    done = front.resume(front.answer_all(**{request_id: YES}))
    assert done["events"][-1]["result"]["outputs"]["answer"]["approved"] is True


def test_a_start_sent_again_is_the_same_run_and_another_waits_for_its_thread(
    javascript: Program, served: Served
) -> None:
    front = Front(javascript, served)
    again, other = (Front(javascript, served, thread_id=front.thread_id) for _ in range(2))
    asked = front.ask(QUESTIONS["freeform"])
    assert ids_of(again.ask(QUESTIONS["freeform"])) == ids_of(asked) != []
    assert error_of(other.start("run-2", outputs=["survey"]))[0] == "thread-busy"


def test_a_key_does_what_its_scopes_say(javascript: Program, served: Served) -> None:
    assert error_of(Front(javascript, served, "read").ask("?"))[0] == "forbidden"
    front = Front(javascript, served, "ask")
    (request_id,) = ids_of(front.ask(QUESTIONS["freeform"]))
    entries = front.answer_all(**{request_id: {"text": "me"}})
    assert error_of(front.resume(entries))[0] == "forbidden"
    decider = Front(javascript, served, "decide")
    assert error_of(decider.resume(entries))[0] == "not-found", "it is of another thread"


def test_a_wrong_key_is_401(javascript: Program, served: Served) -> None:
    nobody = served._replace(keys={"ada": "wrong"})
    told = Front(javascript, nobody).ask(QUESTIONS["freeform"])
    assert told["events"] == []
    assert "401" in told["problems"][0]


async def test_a_body_that_is_none_is_a_problem(served: Served) -> None:
    refused = await served.api.post("/agui", json={"threadId": "t"})
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:hitl:invalid")
