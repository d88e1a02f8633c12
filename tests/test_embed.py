"""Strangers' agents as specialists: what they ask comes out, what is answered goes in, and no
finished work is done twice.
"""

import asyncio
import operator
import re
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_config
from langgraph.func import entrypoint
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from hitl_orchestrator.domain.errors import Fenced, StoreUnavailable
from hitl_orchestrator.domain.hitl import Answer, Answered, Kind, ResponseType
from hitl_orchestrator.domain.state import Outcome, Report
from hitl_orchestrator.nodes.agents import build_catalogue
from hitl_orchestrator.nodes.embed import embed_agent
from hitl_orchestrator.nodes.outputs import MAX_FACET_BYTES, MAX_TEXT_LENGTH, MAX_WARNINGS
from tests.steps import (
    NO,
    YES,
    Step,
    Steps,
    agent,
    edit,
    keep_steps,
    load,
    option,
    questions,
    returns,
    text,
)

SOME_TURNS = 5  # of the loop while one check takes its second; beside one that blocks it: one


@pytest.fixture
def step_of(tmp_path: Path) -> Steps:
    return keep_steps(tmp_path)


# Functions


@pytest.mark.parametrize(
    ("answer", "brief"),
    [
        (option("ops"), {"audience": "ops"}),
        (NO, {"audience": "general", "why": "Too many HITL requests"}),
    ],
)
async def test_the_contracts_example(answer: Answer, brief: dict[str, str], step_of: Steps) -> None:
    step = step_of("function")
    report = await step.visit_twice()
    assert report.outcome is Outcome.ASKING
    assert [(ask.question.question, ask.question.kind) for ask in report.asks] == [
        ("Which audience?", Kind.CHOICE)
    ]
    report = await step.finish({"Which audience?": answer})
    assert (report.outcome, report.facets, report.warnings) == (
        Outcome.COMPLETED,
        {"brief": brief},
        (),
    )


async def test_a_synchronous_function_whose_finished_task_is_not_done_again(step_of: Steps) -> None:
    step = step_of("function:researcher")
    report = await step.finish({"Shall we write for people?": text("cats")})
    assert report.facets == {"brief": {"audience": "cats"}}
    assert step.done == ["research"]


async def test_warnings_are_handed_on_and_undeclared_keys_ignored_with_one(step_of: Steps) -> None:
    report = await step_of("function:researcher").finish(
        {"Shall we write for people?": text("cats")}
    )
    assert report.warnings == (
        "returned draft, which is none of its output facets: ignored",
        "a guess",
    )


async def test_an_entrypoint_of_the_functional_api(step_of: Steps) -> None:
    step = step_of("workflow")
    report = await step.finish({"Go on?": YES})
    assert report.facets == {"steps": ["first", "answered", "second"]}
    assert step.done == ["first", "second"]


async def test_a_callable_that_is_no_function(step_of: Steps) -> None:
    class Writer:
        async def __call__(self, task: dict[str, Any]) -> dict[str, Any]:
            return {"answer": task["objective"]}

    assert (await step_of(agent(Writer())).visit()).facets == {"answer": "Write to Ann"}


async def test_a_function_gets_the_task_of_the_contract(step_of: Steps) -> None:
    def echo(task: dict[str, Any]) -> dict[str, Any]:
        return {"answer": task}

    report = await step_of(agent(echo)).visit()
    assert report.facets["answer"] == step_of("function").task.json_object()


async def test_typed_values_come_out_as_json(step_of: Steps) -> None:
    class Brief(BaseModel):
        audience: str

    report = await step_of(agent(returns({"answer": [Brief(audience="ops")]}))).visit()
    assert report.facets == {"answer": [{"audience": "ops"}]}


async def test_an_agent_that_returns_nothing_made_nothing(step_of: Steps) -> None:
    report = await step_of(agent(returns(None))).visit()
    assert (report.outcome, report.facets) == (Outcome.COMPLETED, {})


# Graphs


async def test_two_questions_in_one_node_one_after_the_other(step_of: Steps) -> None:
    step = step_of("two_questions")
    first = await step.visit_twice()
    step.answers[first.asks[0].key] = option("warm")
    second = await step.visit_twice()
    assert [questions(first.asks), questions(second.asks)] == [["Which tone?"], ["How many words?"]]
    assert first.asks[0].key != second.asks[0].key
    assert step.done == ["research"]
    report = await step.finish({"How many words?": text("80")})
    assert report.facets == {
        "letter": {"tone": "warm", "words": "80", "research": "about Write to Ann"}
    }
    assert step.done == ["research", "write"]


@pytest.mark.parametrize("order", [*permutations(["Where?", "When?", "Who?"])])
async def test_parallel_questions_answered_in_any_order(
    order: tuple[str, ...], step_of: Steps
) -> None:
    step = step_of("parallel")
    report = await step.visit_twice()
    assert questions(report.asks) == ["Where?", "When?", "Who?"]
    for question in order:
        assert report.outcome is Outcome.ASKING
        assert step.done == ["counts"]  # nobody's node runs before all are answered
        step.answers |= {
            ask.key: text(f"said to {question}")
            for ask in report.asks
            if ask.question.question == question
        }
        report = await step.visit_twice()
    assert questions(report.asks) == ["And who else?"]
    assert sorted(step.done) == ["When?", "Where?", "counts"]
    report = await step.finish({"And who else?": NO})
    said = [f"{q} said to {q}" for q in ("When?", "Where?", "Who?")]
    assert report.facets == {
        "survey": {"said": ["And who else? Too many HITL requests", *said, "counted"]}
    }
    assert sorted(step.done) == ["When?", "Where?", "Who?", "counts", "sums up"]


@pytest.mark.parametrize(
    ("answer", "verdict"), [(YES, "yes!"), (NO, "no: Too many HITL requests!")]
)
async def test_a_question_from_the_innermost_of_three_graphs(
    answer: Answer, verdict: str, step_of: Steps
) -> None:
    step = step_of("subgraph")
    report = await step.finish({"Is the plan good?": answer})
    assert report.facets == {"verdict": verdict}
    assert step.done == ["prepare", "prepare", "finish"]


async def test_a_stateful_agent_keeps_its_own_memory_out_of_it(step_of: Steps) -> None:
    step = step_of("subgraph")
    await step.finish({"Is the plan good?": YES})
    assert step.agent.run.checkpointer.storage == {}  # pyright: ignore
    # a look at another thread leaves an empty place there
    written = [thread for thread, kept in step.saver.storage.items() if any(kept.values())]
    assert written == ["thread\x1frun\x1fs1"]


async def test_typed_state_survives_a_question(step_of: Steps) -> None:
    step = step_of("typed")
    report = await step.visit_twice()
    assert [(ask.question.question, ask.question.kind) for ask in report.asks] == [
        ("How good is it?", Kind.FORM)
    ]
    form = Answered(responseType=ResponseType.FORM, data={"good": True, "stars": 5})
    report = await step.finish({"How good is it?": form})
    assert (report.outcome, report.facets) == (
        Outcome.COMPLETED,
        {
            "review": {"finding": "On Pauses (1971)", "good": True, "stars": 5},
            "source": {"title": "On Pauses", "year": 1971},
            "citation": "On Pauses",
        },
    )


async def test_a_typed_answer_that_does_not_fit_fails_the_step(step_of: Steps) -> None:
    form = Answered(responseType=ResponseType.FORM, data={"good": "perhaps"})
    report = await step_of("typed").finish({"How good is it?": form})
    assert report.outcome is Outcome.FAILED
    assert (report.reason or "").startswith("ValidationError: 2 validation errors for Verdict")


# LangChain's middleware and Agent Inbox

MAIL, DELETE = ("Run send_mail?", "Run delete_file?")
SUBJECT = "Hello"
SENT, DELETED = "mail ann@example.org: Hello", "delete old.txt"


@pytest.mark.parametrize("mode", ["tool_agent", "tool_agent:per_call"])
@pytest.mark.parametrize(
    ("mail", "delete", "done", "minutes"),
    [
        (YES, YES, [SENT, DELETED], "sent to ann@example.org"),
        (YES, edit(path="older.txt"), [SENT, "delete older.txt"], "deleted older.txt"),
        (
            NO,
            YES,
            [DELETED],
            "User rejected the tool call for `send_mail` with reason: Too many HITL requests",
        ),
        (text("I sent it"), NO, [], "I sent it"),
    ],
)
async def test_two_tool_calls_at_once(
    mode: str, mail: Answer, delete: Answer, done: list[str], minutes: str, step_of: Steps
) -> None:
    step = step_of(mode)
    report = await step.visit_twice()
    assert questions(report.asks) == [MAIL, DELETE]
    assert step.done == []
    report = await step.finish({MAIL: mail, DELETE: delete})
    assert report.outcome is Outcome.COMPLETED
    assert minutes in str(report.facets["minutes"])
    assert sorted(step.done) == sorted(done)


@pytest.mark.parametrize("mode", ["tool_agent:stubborn", "tool_agent:stubborn_per_call"])
async def test_an_action_that_cannot_be_refused_ends_the_step_denied(
    mode: str, step_of: Steps
) -> None:
    step = step_of(mode)
    report = await step.finish({MAIL: NO})
    assert (report.outcome, report.reason) == (Outcome.DENIED, "Too many HITL requests")
    assert SENT not in step.done


async def test_edited_arguments_that_the_tool_does_not_take_fail_the_step(step_of: Steps) -> None:
    step = step_of("tool_agent:per_call")
    report = await step.finish({MAIL: edit(to=5), DELETE: NO})
    assert report.outcome is Outcome.FAILED
    assert step.done == []


@pytest.mark.parametrize("shape", ["inbox", "inbox:bare"])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            YES,
            {
                "type": "accept",
                "args": {"action": "Send reply", "args": {"to": "ann@example.org", "text": "Yes."}},
            },
        ),
        (
            edit(text="No."),
            {"type": "edit", "args": {"action": "Send reply", "args": {"text": "No."}}},
        ),
        (text("Later"), {"type": "response", "args": "Later"}),
        (NO, {"type": "ignore", "args": None}),
    ],
)
async def test_agent_inbox(shape: str, answer: Answer, said: object, step_of: Steps) -> None:
    step = step_of(shape)
    report = await step.finish({"Run Send reply?": answer})
    assert report.facets == {"reply": said}
    assert len(step.done) == 1


async def test_a_human_interrupt_that_cannot_be_ignored(step_of: Steps) -> None:
    report = await step_of("inbox:insistent").finish({"Run Send reply?": NO})
    assert (report.outcome, report.reason) == (Outcome.DENIED, "Too many HITL requests")


# What agents do wrong


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("choice", "needs `options`"),
        ("huge", "262144 are allowed"),
        ("thing", "not msgpack serializable"),
        ("nul", "NUL"),
    ],
)
async def test_nonsense_fails_the_step_and_says_why(name: str, reason: str, step_of: Steps) -> None:
    report = await step_of(f"nonsense:{name}").visit()
    assert report.outcome is Outcome.FAILED
    assert reason in (report.reason or "")


@pytest.mark.parametrize("name", ["agent", "empty", "number", "actions", "decision"])
async def test_what_is_no_question_of_ours_is_open_and_answered_raw(
    name: str, step_of: Steps
) -> None:
    step = step_of(f"nonsense:{name}")
    (ask,) = (await step.visit_twice()).asks
    assert ask.question.kind is Kind.OPEN
    step.answers = {ask.key: text("as you like")}
    assert (await step.visit_twice()).facets == {"answer": "as you like"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("agent", "ValueError: no suchthing ? xxx"),
        ("stop_iteration", "RuntimeError"),
        ("sys_exit", "RuntimeError: the agent called sys.exit()"),
        ("cancelled", "NodeCancelledError: Node 'function' raised asyncio.CancelledError"),
        ("timeout", "TimeoutError: the mail server did not answer"),
        ("in_a_node", "ZeroDivisionError: division by zero"),
    ],
)
async def test_an_agent_that_raises_fails_its_step(name: str, reason: str, step_of: Steps) -> None:
    report = await step_of(f"raises:{name}").visit()
    assert report.outcome is Outcome.FAILED
    assert (report.reason or "").startswith(reason)
    assert len(report.reason or "") <= MAX_TEXT_LENGTH
    assert "Traceback" not in (report.reason or "")


async def test_an_agent_that_raises_after_its_answer(step_of: Steps) -> None:
    report = await step_of("raises:later").finish({"Shall it break?": text("yes")})
    assert report.outcome is Outcome.FAILED
    place = r"RuntimeError: broken as asked \(agents/raises\.py:\d+\)"
    assert re.fullmatch(place, report.reason or "")


async def test_what_was_finished_before_a_failure_is_not_done_again(step_of: Steps) -> None:
    step = step_of("raises:in_a_node")
    await step.visit()
    await step.visit()
    assert step.done == ["works", "breaks", "breaks"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "agent",
            "The facet brief does not fit its schema: /brief/audience breaks the rule "
            '`type`: 5 is not of type "string"',
        ),
        (
            "missing",
            "The facet brief does not fit its schema: /brief breaks the rule `required`: "
            '"audience" is a required property',
        ),
        ("text", "What it returned is of type str, not a mapping of its output facets"),
        ("not_a_number", "What it returned is not plain JSON: Out of range float values"),
        ("nul", "What it returned holds a NUL character, which cannot be stored"),
        ("surrogate", "What it returned holds a lone surrogate"),
        ("thing", "What it returned is not plain JSON: Unable to serialize unknown type"),
        ("huge", f"The facet brief has 1100016 bytes; {MAX_FACET_BYTES} are allowed"),
    ],
)
async def test_what_the_contract_forbids_fails_the_step(
    name: str, reason: str, step_of: Steps
) -> None:
    report = await step_of(f"forbidden:{name}").visit()
    assert (report.outcome, report.facets) == (Outcome.FAILED, {})
    assert (report.reason or "").startswith(reason)


async def test_a_backslash_before_u0000_is_no_nul(step_of: Steps) -> None:
    report = await step_of(agent(returns({"answer": "\\u0000"}))).visit()
    assert report.facets == {"answer": "\\u0000"}


async def test_a_number_that_no_checkpoint_can_hold_fails_the_step(step_of: Steps) -> None:
    given = graph(WithWarnings, returns({"answer": 1}))
    report = await step_of(agent(given, output=returns({"answer": 2**70}))).visit()
    assert (report.outcome, report.facets) == (Outcome.FAILED, {})
    assert "more than 64 bits" in (report.reason or "")


async def test_a_facet_that_another_agent_defines_is_checked_too(step_of: Steps) -> None:
    mine = agent(returns({"answer": 5}))
    theirs = agent(print, "other", capabilityId="theirs", facets={"answer": {"type": "string"}})
    report = await step_of(build_catalogue([mine, theirs])["stranger"]).visit()
    assert report.reason == (
        "The facet answer does not fit its schema: /answer breaks the rule `type`: 5 is "
        'not of type "string"'
    )


async def test_a_schema_that_refers_to_nothing_fails_the_step(step_of: Steps) -> None:
    facets = {"answer": {"$ref": "https://example.org/nowhere"}}
    report = await step_of(agent(returns({"answer": 5}), facets=facets)).visit()
    assert report.outcome is Outcome.FAILED
    assert "nowhere" in (report.reason or "")


@pytest.mark.slow
async def test_others_go_on_beside_a_facet_that_takes_long_to_check(step_of: Steps) -> None:
    """Each definition applies the next one twice: 2^60 looks at one number."""
    twice = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]}
        for n in range(60)
    }
    facets = {"answer": {"$ref": "#/$defs/d0", "$defs": {**twice, "d60": {"type": "integer"}}}}
    visit = asyncio.create_task(step_of(agent(returns({"answer": 5}), facets=facets)).visit())
    turns = 0
    while not visit.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert turns >= SOME_TURNS
    report = await visit
    assert report.outcome is Outcome.FAILED
    assert "cannot be checked within a second" in (report.reason or "")


async def test_warnings_are_bounded_and_storable(step_of: Steps) -> None:
    warnings = ["\0\ud800" + "x" * 10_000] * 1000
    report = await step_of(agent(returns({"answer": 1, "warnings": warnings}))).visit()
    assert report.outcome is Outcome.FAILED  # a function's return is checked as a whole
    state = graph(WithWarnings, returns({"answer": 1, "warnings": warnings}))
    report = await step_of(agent(state)).visit()
    assert len(report.warnings) == MAX_WARNINGS
    assert {len(warning) for warning in report.warnings} == {MAX_TEXT_LENGTH - 1}


async def test_a_hanging_agent_is_stopped_from_outside(step_of: Steps) -> None:
    step = step_of("hangs")
    before = asyncio.all_tasks()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(step.visit(), step.agent.capability.timeoutSeconds)
    assert asyncio.all_tasks() == before


async def test_a_breakpoint_that_was_not_seen_at_the_start_fails_the_step(step_of: Steps) -> None:
    hidden = {
        "inner": graph(WithAnswer, returns({"answer": "skipped"})).compile(
            interrupt_before=["node"]
        )
    }

    async def outer(state: WithAnswer) -> Any:
        return await hidden["inner"].ainvoke(state)

    report = await step_of(agent(graph(WithAnswer, outer))).visit()
    assert report.outcome is Outcome.FAILED
    assert "a graph that cannot be found in it" in (report.reason or "")


async def test_an_answer_of_null_is_an_answer(step_of: Steps) -> None:
    def run(task: dict[str, Any]) -> dict[str, Any]:
        return {"answer": interrupt("Which?", response_schema={"type": "null"})}

    report = await step_of(agent(run)).finish(
        {"Which?": Answered(responseType=ResponseType.FORM, data=None)}
    )
    assert (report.outcome, report.facets) == (Outcome.COMPLETED, {"answer": None})


# In and out of graphs


class WithAnswer(TypedDict, total=False):
    objective: str
    answer: Any


class WithWarnings(WithAnswer, total=False):
    warnings: list[str]


class WithMessages(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    structured_response: Any


def graph(schema: type[Any], node: Any) -> StateGraph[Any, Any, Any, Any]:
    return StateGraph(schema).add_node("node", node).add_edge(START, "node").add_edge("node", END)


async def test_a_graph_gets_the_keys_of_the_task_that_are_its_channels(step_of: Steps) -> None:
    class Strict(BaseModel, extra="forbid"):
        objective: str
        runId: str
        answer: Any = None

    def node(state: Strict) -> dict[str, Any]:
        return {"answer": [state.objective, state.runId]}

    assert (await step_of(agent(graph(Strict, node))).visit()).facets == {
        "answer": ["Write to Ann", "run"]
    }


async def test_a_graph_with_messages_gets_a_human_message(step_of: Steps) -> None:
    def node(state: WithMessages) -> WithMessages:
        (message,) = state.get("messages", [])
        return {"messages": [AIMessage(f"{message.type}: {message.text}")]}

    step = step_of(agent(graph(WithMessages, node)))
    assert (await step.visit()).facets == {
        "answer": f'human: Write to Ann\n\n{{\n  "log": "{step.log}"\n}}'
    }


@pytest.mark.parametrize(
    ("schema", "said", "facet"),
    [
        ({"type": "string"}, {"messages": [AIMessage("first"), AIMessage("last")]}, "last"),
        ({}, {"messages": [AIMessage("last")]}, "last"),
        ({}, {"messages": [AIMessage("last")], "structured_response": {"a": 1}}, {"a": 1}),
        (
            {"type": "object"},
            {"messages": [AIMessage("last")], "structured_response": {"a": 1}},
            {"a": 1},
        ),
        (
            {"type": "string"},
            {"messages": [AIMessage("last")], "structured_response": {"a": 1}},
            "last",
        ),
    ],
)
async def test_the_only_facet_is_what_was_said_last(
    schema: Any, said: Any, facet: object, step_of: Steps
) -> None:
    def node(state: Any) -> Any:
        return said

    report = await step_of(agent(graph(WithMessages, node), facets={"answer": schema})).visit()
    assert report.facets == {"answer": facet}


async def test_what_was_said_last_and_does_not_fit_fails_the_step(step_of: Steps) -> None:
    def node(state: Any) -> Any:
        return {"messages": [AIMessage("long")]}

    report = await step_of(
        agent(graph(WithMessages, node), facets={"answer": {"type": "string", "maxLength": 2}})
    ).visit()
    assert report.reason == (
        "The facet answer does not fit its schema: /answer breaks the rule `maxLength`: "
        '"long" is longer than 2 characters'
    )


async def test_what_was_said_last_is_not_one_of_two_facets(step_of: Steps) -> None:
    def node(state: Any) -> Any:
        return {"messages": [AIMessage("last")]}

    report = await step_of(agent(graph(WithMessages, node), "one", "other")).visit()
    assert (report.outcome, report.facets) == (Outcome.COMPLETED, {})


async def test_input_and_output_replace_the_rules(step_of: Steps) -> None:
    def node(state: WithAnswer) -> WithAnswer:
        return {"answer": state.get("objective")}

    def task_to_input(task: dict[str, Any]) -> WithAnswer:
        return {"objective": task["runId"]}

    def state_to_facets(state: dict[str, Any]) -> dict[str, Any]:
        return {"answer": state["answer"] + "!"}

    more = {"input": task_to_input, "output": state_to_facets}
    assert (await step_of(agent(graph(WithAnswer, node), **more)).visit()).facets == {
        "answer": "run!"
    }
    assert (await step_of(agent(node, **more)).visit()).facets == {"answer": "run!"}


async def test_an_output_that_is_no_mapping_fails_the_step(step_of: Steps) -> None:
    run = graph(WithAnswer, returns({"answer": 1}))
    report = await step_of(agent(run, output=returns(1))).visit()
    assert report.reason == "What it returned is of type int, not a mapping of its output facets"


async def test_two_steps_and_two_runs_of_a_thread_know_nothing_of_each_other(
    step_of: Steps,
) -> None:
    step = step_of("two_questions")
    await step.visit()
    work = embed_agent(step.agent, step.saver)
    for other in (
        step.task.but(stepId="s2"),
        step.task.but(runId="other"),
        step.task.but(threadId="other"),
    ):
        assert questions((await work(other, step.answers)).asks) == ["Which tone?"]
    assert step.done == ["research"] * 4


# The parent, the memory, and crashes


async def test_nothing_of_the_parent_leaks_in_and_no_pause_leaks_out(step_of: Steps) -> None:
    async def run(task: dict[str, Any]) -> dict[str, Any]:
        config = get_config()
        interrupt("Go on?")
        return {
            "answer": [
                config.get("tags") or [],
                "secret" in str(config.get("metadata")),
                config.get("configurable", {})["thread_id"],
            ]
        }

    step = step_of(agent(run))

    async def parent(given: int) -> list[Any]:
        asked = await step.visit()
        return [asked.outcome, (await step.finish({"Go on?": YES})).facets]

    config: RunnableConfig = {
        "tags": ["parent"],
        "metadata": {"key": "secret"},
        "configurable": {"thread_id": "thread"},
    }
    said = await entrypoint(checkpointer=step.saver)(parent).ainvoke(1, config)
    assert said == [Outcome.ASKING, {"answer": [[], False, "thread\x1frun\x1fs1"]}]


class Failing(InMemorySaver):
    """Fails at one kind of access, as a database may."""

    def __init__(self, method: str, error: Exception) -> None:
        super().__init__()
        self.method, self.error = method, error

    def check(self, method: str) -> None:
        if method == self.method:
            raise self.error

    async def aget_tuple(self, *args: Any, **more: Any) -> Any:
        self.check("aget_tuple")
        return await super().aget_tuple(*args, **more)

    async def aput(self, *args: Any, **more: Any) -> Any:
        self.check("aput")
        return await super().aput(*args, **more)

    async def aput_writes(self, *args: Any, **more: Any) -> Any:
        self.check("aput_writes")
        return await super().aput_writes(*args, **more)


@pytest.mark.parametrize("error", [StoreUnavailable("no database"), Fenced("driven elsewhere")])
@pytest.mark.parametrize("method", ["aget_tuple", "aput", "aput_writes"])
@pytest.mark.parametrize("name", ["function", "two_questions", "subgraph", "tool_agent"])
async def test_an_error_of_the_memory_is_not_the_agents(
    name: str, method: str, error: Exception, step_of: Steps
) -> None:
    step = step_of(name)
    step.saver = Failing(method, error)
    with pytest.raises(type(error)):
        await step.visit()


async def test_a_node_that_was_interrupted_by_a_crash_runs_again_and_finished_siblings_do_not(
    step_of: Steps,
) -> None:
    done: list[str] = []
    gate = asyncio.Event()

    class State(TypedDict, total=False):
        answer: Annotated[list[str], operator.add]

    def asks(question: str, waits: bool) -> Any:
        async def node(state: State) -> State:
            said = interrupt(question)
            done.append(question)
            if waits:
                await gate.wait()
            return {"answer": [said]}

        return node

    run = StateGraph(State).add_node("one", asks("One?", False)).add_node("two", asks("Two?", True))
    step = step_of(agent(run.add_edge(START, "one").add_edge(START, "two")))
    asked = await step.visit()
    step.answers = {ask.key: text(ask.question.question) for ask in asked.asks}
    visit = asyncio.create_task(step.visit())
    while len(done) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)  # until the one has been stored
    visit.cancel()
    await asyncio.wait([visit])
    gate.set()
    report = await step.visit_twice()
    assert report.facets == {"answer": ["One?", "Two?"]}
    assert done == ["One?", "Two?", "Two?"]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), unique=True), max_size=5))
def test_however_answers_and_crashes_follow_each_other_work_is_done_once(
    visits: list[list[int]],
) -> None:
    """`visits`: which of the open questions are answered before the next visit; none, when the last
    visit's report was lost.
    """

    async def drive(step: Step) -> Report:
        following = iter(visits)
        while (report := await step.visit()).outcome is Outcome.ASKING:
            answered = [ask for n, ask in enumerate(report.asks) if n in next(following, range(3))]
            step.answers |= {ask.key: text(ask.question.question.lower()) for ask in answered}
        return await step.visit_twice()

    with TemporaryDirectory() as folder:
        step = Step(load("parallel"), Path(folder) / "log")
        report = asyncio.run(drive(step))
        said = [
            "And who else? and who else?",
            "When? when?",
            "Where? where?",
            "Who? who?",
            "counted",
        ]
        assert report.facets == {"survey": {"said": said}}
        assert sorted(step.done) == ["When?", "Where?", "Who?", "counts", "sums up"]
