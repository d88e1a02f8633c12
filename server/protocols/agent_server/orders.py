"""What a call to start or resume a run comes to: a run, answers, or an end. Pure.

A client that names no interrupt is heard only where no other question can be meant. What would
have to be ignored is refused by name, save what clients send whatever they want.
"""

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import ValidationError

from hitl_orchestrator.domain.errors import Conflict, Invalid, NotFound
from hitl_orchestrator.domain.hitl import HitlRequest, HitlResponse
from hitl_orchestrator.domain.records import Json, JsonObject, describe_misfit
from hitl_orchestrator.server.new_run import StartRun
from hitl_orchestrator.server.protocols.agent_server.threads import (
    QUESTIONS,
    Thread,
    find_graph,
    find_request,
)
from hitl_orchestrator.server.protocols.wording import read_answer

END = "__end__"
RESOLVED = "Marked as resolved"
TAKEN = frozenset({"assistant_id", "input", "command", "metadata", "stream_mode"})
# Sent by clients as a matter of course, and without a meaning here. A run is never cancelled for
# a tab that was closed, whatever `on_disconnect` says.
MEANINGLESS = frozenset(
    {
        *("config", "on_disconnect", "on_completion", "if_not_exists", "durability"),
        *("stream_subgraphs", "stream_resumable", "checkpoint", "checkpoint_during"),
        *("feedback_keys", "langsmith_tracer", "langsmith_tracing"),
    }
)
STARTING = ("objective", "inputs", "outputs", "agents", "maxHitlRequests")
STATE = frozenset({"messages", "facets", "plan", "result"})  # a graph gives back what it was given
MODES = frozenset({"values", "updates", "custom", "events", "messages", "messages-tuple"})


class Answers(NamedTuple):
    thread: Thread
    responses: list[HitlResponse]


class End(NamedTuple):
    """`request_id`: the one question that is over; None: the run as a whole."""

    thread: Thread
    request_id: str | None


Order = StartRun | Answers | End


def read_order(thread_id: str | None, thread: Thread | None, body: JsonObject) -> Order:
    """Return what is to be done. Raise Invalid, NotFound or Conflict.

    `thread`: None where nothing has begun on it.
    """
    _refuse_unknown(body)
    graph = find_graph(_read_text(body, "assistant_id"))
    command = body.get("command") or {}
    if not isinstance(command, dict):
        raise Invalid("`command` is to be an object.")
    wants = {name for name, value in command.items() if value not in (None, [], {}, "")}
    if "resume" in command and command["resume"] is not None:
        wants.add("resume")
    if not wants:
        return _read_start(thread_id, thread, graph, body)
    if thread is None:
        raise NotFound(f"There is no thread {thread_id}." if thread_id else "No thread is named.")
    if graph == QUESTIONS and thread.request is None:
        raise NotFound(f"There is no question {thread.id}.")
    if wants == {"goto"} and command["goto"] in (END, [END]):
        return read_end(thread)
    if wants != {"resume"}:
        refused = ", ".join(sorted(wants - {"resume"}))
        raise Invalid(f"`command` with {refused} would go past the guard: only `resume` is taken.")
    return Answers(thread, read_answers(thread, command["resume"]))


def _refuse_unknown(body: Mapping[str, Json]) -> None:
    unknown = {name for name, value in body.items() if value} - TAKEN - MEANINGLESS
    if body.get("multitask_strategy") == "reject":
        unknown.discard("multitask_strategy")
    if unknown:
        raise Invalid(f"Not offered here: {', '.join(sorted(unknown))[:200]}.")


def read_modes(body: Mapping[str, Json]) -> list[str]:
    """Return what a stream is to have. Raise Invalid."""
    given = body.get("stream_mode") or "values"
    modes = [str(one) for one in given] if isinstance(given, list) else [str(given)]
    if unknown := sorted({*modes} - MODES):
        raise Invalid(f"Not offered here: stream_mode {', '.join(unknown)[:200]}.")
    return modes


def _read_start(
    thread_id: str | None, thread: Thread | None, graph: str | None, body: JsonObject
) -> StartRun:
    """Return a run to start: of an objective, or of what was said last."""
    if graph == QUESTIONS or (thread and thread.request):
        raise Invalid("A question is asked by an agent: a run is started on `orchestrator`.")
    given = body.get("input")
    if not isinstance(given, dict):
        raise Invalid("`input` is to be an object with an `objective` or `messages`.")
    unknown = {name for name, value in given.items() if value} - {*STARTING} - STATE
    if unknown:
        raise Invalid(f"Not known here: {', '.join(sorted(unknown))[:200]} of `input`.")
    new = {name: given[name] for name in STARTING if given.get(name) is not None}
    new.setdefault("objective", _find_last_words(given.get("messages")))
    try:
        return StartRun.model_validate(
            {**new, "threadId": thread_id, "metadata": body.get("metadata") or {}}
        )
    except ValidationError as error:
        raise Invalid(describe_misfit(error)) from None


def _find_last_words(messages: Json) -> str:
    """Return the text of the last message, in one piece or several; "": there is none."""
    last = messages[-1] if isinstance(messages, list) and messages else None
    content = last.get("content") if isinstance(last, dict) else None
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return " ".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))


def read_end(thread: Thread) -> End:
    """Return what "mark as resolved" ends. Raise Invalid: it could be another question's."""
    if thread.request:
        return End(thread, thread.request.requestId)
    _find_only(thread)
    return End(thread, None)


def read_answers(thread: Thread, resume: Json) -> list[HitlResponse]:
    """Return what is answered. Raise Invalid, NotFound or Conflict; nothing is ever guessed."""
    run = thread.run
    ids = {request.requestId for request in run.requests}
    names = {*resume} if isinstance(resume, dict) else set[str]()
    if isinstance(resume, dict) and names & ids:
        if thread.request and names != {thread.request.requestId}:
            raise Invalid(f"Thread {thread.id} is one question: it is answered alone.")
        return [read_answer(find_request(run, name), said) for name, said in resume.items()]
    if names and all(name.startswith("hitl_") for name in names):
        raise NotFound(f"There is no interrupt {', '.join(sorted(names))[:200]} of {thread.id}.")
    return [read_answer(thread.request or _find_only(thread), resume)]


def _find_only(thread: Thread) -> HitlRequest:
    """Return the one question that the thread ever asked, whether it still waits or not.

    With two of them the page may have shown the other one, also when one alone waits now, and when
    that was another run's.
    """
    asked = thread.run.requests
    if not asked:
        raise Conflict(f"Thread {thread.id} has not asked anything.")
    if len(asked) > 1 or thread.is_shared:
        waiting = ", ".join(one.requestId for one in thread.pending) or "none waits"
        raise Invalid(
            f"Thread {thread.id} asked several questions: say which, by {{id: answer}} ({waiting})."
        )
    return next(iter(asked))


def _read_text(body: Mapping[str, Json], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise Invalid(f"`{name}` is to be a text.")
    return value
