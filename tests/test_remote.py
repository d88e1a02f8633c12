"""Agents behind LangGraph's own API, of a small server with real graphs: tests/agent_server.py."""

import asyncio
import operator
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import NodeInterrupt  # pyright: ignore[reportDeprecated]
from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from langgraph.types import interrupt
from langgraph_sdk import get_client
from typing_extensions import TypedDict

from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.domain.hitl import Denied
from hitl_orchestrator.domain.state import Outcome, Report
from hitl_orchestrator.graph.build import build
from hitl_orchestrator.nodes.agents import Agent, read_agent
from hitl_orchestrator.nodes.inspection import Begun, Inspector
from hitl_orchestrator.nodes.remote import embed_remote
from hitl_orchestrator.nodes.run_kinds import AgentGraph, RemoteGraph
from hitl_orchestrator.nodes.threads import name_remote_thread
from hitl_orchestrator.nodes.told import add_told, write_told
from tests.agent_server import AgentServer, agent_server
from tests.processes import find_free_port
from tests.steps import NO, YES, Step, questions, text


class State(TypedDict, total=False):
    objective: str
    log: str
    messages: list[Any]
    answer: Annotated[list[Any], operator.add]


def write(state: State, line: str) -> None:
    with Path(state.get("log", "")).open("a") as log:
        log.write(f"{line}\n")


def prepare(state: State) -> State:
    write(state, "prepare")
    return {}


def approve(state: State) -> State:
    said = interrupt({"question": "Publish?", "kind": "approval"})
    write(state, f"approve {said['approved']}")
    return {"answer": [said["approved"]]}


def ask_age(state: State) -> State:
    said = interrupt("Age?")
    write(state, f"age {said}")
    return {"answer": [said]}


def ask_twice(state: State) -> State:
    first, second = interrupt("Sure?"), interrupt("Sure?")
    write(state, f"{first} {second}")
    return {"answer": [first, second]}


def fail_once(state: State) -> State:
    write(state, "try")
    if Path(state.get("log", "")).read_text().count("try") == 1:
        raise ValueError("out of luck")
    return {}


def go_and_fail_once(state: State) -> State:
    write(state, f"go {interrupt('Go?')}")
    return fail_once(state)


def publish(state: State) -> State:
    write(state, "publish")
    return {"messages": [{"type": "ai", "content": "done"}]}


async def work_long(state: State) -> State:
    await asyncio.sleep(0.3)
    write(state, "worked")
    return {}


def raise_pause(state: State) -> State:
    raise NodeInterrupt("Too long")  # pyright: ignore[reportDeprecated]


def in_a_row(*nodes: Any, **compiled: Any) -> AgentGraph:
    graph = StateGraph(State).add_sequence([*nodes])
    graph.add_edge(START, nodes[0].__name__)
    return cast(AgentGraph, graph.compile(**compiled))


def at_once(*nodes: Any) -> AgentGraph:
    graph = StateGraph(State)
    for node in nodes:
        name = getattr(node, "__name__", "within")
        graph.add_node(name, node)
        graph.add_edge(START, name)
    return cast(AgentGraph, graph.compile())


def behind_a_join(node: Any) -> AgentGraph:
    graph = StateGraph(State)
    for name in ("left", "right"):
        graph.add_node(name, prepare)
        graph.add_edge(START, name)
    graph.add_node(node)
    graph.add_edge(["left", "right"], node.__name__)
    return cast(AgentGraph, graph.compile())


stopped_within = in_a_row(publish, interrupt_before=["publish"], name="stopped_within")

GRAPHS = {
    "gate": in_a_row(prepare, approve, publish),
    "age": in_a_row(prepare, ask_age, publish),
    "twice": in_a_row(ask_twice),
    "both": at_once(approve, ask_age),
    "flaky": in_a_row(approve, fail_once, publish),
    "flaky_beside": at_once(go_and_fail_once, ask_twice),
    "joined": behind_a_join(approve),
    "joined_flaky": behind_a_join(fail_once),
    "stopped": in_a_row(prepare, publish, interrupt_before=["publish"]),
    "stopped_flaky": in_a_row(fail_once, publish, interrupt_before=["publish"]),
    "stopped_within": at_once(approve, stopped_within),
    "raised": in_a_row(raise_pause),
    "quiet": at_once(approve, prepare),
    "long": in_a_row(work_long),
}


@pytest.fixture
def server() -> Generator[AgentServer]:
    with agent_server(**GRAPHS) as server:
        yield server


def mapping(url: str, graph_id: str, **more: Any) -> dict[str, Any]:
    return {
        "capabilityId": "stranger",
        "displayName": "Stranger",
        "outputFacets": ["answer"],
        "url": url,
        "graphId": graph_id,
        **more,
    }


@dataclass
class RemoteStep(Step):
    """Every visit is another process's; the thread is the server's."""

    silent_seconds: float = 20

    async def visit(self) -> Report:
        assert isinstance(self.agent.run, RemoteGraph)
        work = embed_remote(self.agent, self.agent.run, silent_seconds=self.silent_seconds)
        return await work(self.task, self.answers)


def step_of(server: AgentServer, folder: Path, graph_id: str, **more: Any) -> RemoteStep:
    agent = read_agent(mapping(server.url, graph_id, **more), "here")
    return RemoteStep(agent, folder / "log")


# Questions and answers


async def test_a_question_is_answered_and_the_agent_ends(
    server: AgentServer, tmp_path: Path
) -> None:
    step = step_of(server, tmp_path, "gate")
    report = await step.finish({"Publish?": YES})
    assert (report.outcome, report.facets, report.undelivered) == (
        Outcome.COMPLETED,
        {"answer": [True]},
        (),
    )
    assert step.done == ["prepare", "approve True", "publish"]
    assert server.count_runs() == 2


async def test_a_refusal_is_told_in_our_dialect(server: AgentServer, tmp_path: Path) -> None:
    step = step_of(server, tmp_path, "gate")
    report = await step.finish({"Publish?": NO})
    assert (report.outcome, report.facets) == (Outcome.COMPLETED, {"answer": [False]})
    assert step.done == ["prepare", "approve False", "publish"]


async def test_an_agent_that_cannot_be_refused_is_not_resumed(
    server: AgentServer, tmp_path: Path
) -> None:
    step = step_of(server, tmp_path, "age")
    report = await step.finish({"Age?": Denied(reason="None of your business")})
    assert (report.outcome, report.reason) == (Outcome.DENIED, "None of your business")
    assert report.undelivered == tuple(step.answers)
    assert (step.done, server.count_runs()) == (["prepare"], 1)


async def test_answers_are_worded_by_the_mapping(server: AgentServer, tmp_path: Path) -> None:
    def denied(reason: str) -> str:
        return f"no: {reason}"

    step = step_of(server, tmp_path, "age", denied=denied)
    report = await step.finish({"Age?": Denied(reason="why")})
    assert report.facets == {"answer": ["no: why"]}


async def test_two_questions_at_once_are_answered_at_once(
    server: AgentServer, tmp_path: Path
) -> None:
    step = step_of(server, tmp_path, "both")
    asked = (await step.visit_twice()).asks
    assert sorted(questions(asked)) == ["Age?", "Publish?"]
    said = {"Age?": text("30"), "Publish?": YES}
    first, second = asked
    step.answers = {first.key: said[first.question.question]}
    assert questions((await step.visit_twice()).asks) == [second.question.question]
    assert server.count_runs() == 1, "before all are answered nothing is told"
    step.answers[second.key] = said[second.question.question]
    report = await step.visit_twice()
    assert report.facets["answer"] in (["30", True], [True, "30"])
    assert server.count_runs() == 2


@pytest.mark.parametrize("bare_ids", [False, True])
async def test_two_questions_of_one_node_are_two_also_if_they_have_one_id(
    server: AgentServer, tmp_path: Path, bare_ids: bool
) -> None:
    server.bare_ids = bare_ids
    step = step_of(server, tmp_path, "twice")
    (first,) = (await step.visit_twice()).asks
    step.answers = {first.key: text("yes")}
    (second,) = (await step.visit_twice()).asks
    assert first.key != second.key
    step.answers[second.key] = text("no")
    report = await step.visit_twice()
    assert (report.facets, step.done) == ({"answer": ["yes", "no"]}, ["yes no"])


async def test_a_question_that_the_state_does_not_show_is_asked(
    server: AgentServer, tmp_path: Path
) -> None:
    server.joins_lost = True
    step = step_of(server, tmp_path, "joined")
    report = await step.finish({"Publish?": YES})
    assert step.done == ["prepare", "prepare", "approve True"]
    assert report.facets == {"answer": [True]}


# What it is given, and what it made


async def test_it_gets_a_message_and_its_facets_and_what_it_said_is_its_only_facet(
    server: AgentServer, tmp_path: Path
) -> None:
    step = step_of(server, tmp_path, "gate", outputFacets=["post"])
    report = await step.finish({"Publish?": YES})
    assert report.facets == {"post": "done"}


async def test_input_and_output_replace_the_rules(server: AgentServer, tmp_path: Path) -> None:
    def give(task: dict[str, Any]) -> State:
        return {"log": str(tmp_path / "log"), "answer": [task["objective"]]}

    def take(values: dict[str, Any]) -> dict[str, Any]:
        return {"answer": values["answer"][0]}

    step = step_of(server, tmp_path, "long", input=give, output=take)
    assert (await step.visit_twice()).facets == {"answer": "Write to Ann"}


async def test_context_and_config_are_sent(server: AgentServer, tmp_path: Path) -> None:
    def context(task: dict[str, Any]) -> dict[str, Any]:
        return {"for": task["objective"]}

    step = step_of(server, tmp_path, "gate", context=context, config={"tags": ["ours"]})
    await step.visit()
    (body,) = server.begun
    assert (body["context"], body["config"]) == ({"for": "Write to Ann"}, {"tags": ["ours"]})


async def test_headers_are_sent_and_no_key_of_this_process(
    server: AgentServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGSMITH_API_KEY", "ours")
    step = step_of(server, tmp_path, "gate", headers={"authorization": "Bearer theirs"})
    await step.visit()
    assert server.headers["authorization"] == "Bearer theirs"
    assert "x-api-key" not in server.headers
    step = step_of(server, tmp_path, "gate", headers={"X-Api-Key": "theirs"})
    await step.visit()
    assert server.headers["x-api-key"] == "theirs"
    assert "theirs" not in repr(step.agent)


# Crashes


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
async def test_nothing_is_done_twice_wherever_it_breaks_off(when: str, tmp_path: Path) -> None:
    """Given a call that fails, before or after the server has acted: the visit is repeated."""
    calls, call = 1, 0
    while call < calls:
        folder = tmp_path / str(call)
        folder.mkdir()
        with agent_server(**GRAPHS) as server:
            step = step_of(server, folder, "both")
            server.breaks = {call: when}
            report = await step.visit()
            while report.outcome is not Outcome.COMPLETED:
                said = {"Age?": text("30"), "Publish?": YES}
                step.answers |= {ask.key: said[ask.question.question] for ask in report.asks}
                assert report.asks or report.raised, report.reason
                report = await step.visit()
            assert sorted(step.done) == ["age 30", "approve True"], server.calls
            assert len(server.runs) == 2, server.calls
            calls = len(server.calls) if call == 0 else calls
        call += 1
    assert calls > 10


async def test_two_visits_at_once_begin_one_run(server: AgentServer, tmp_path: Path) -> None:
    """Given a process that goes on although another has taken its run over."""
    step = step_of(server, tmp_path, "long")
    reports = await asyncio.gather(step.visit(), step.visit())
    assert [report.outcome for report in reports] == [Outcome.COMPLETED] * 2
    assert (step.done, len(server.runs)) == (["worked"], 1)


async def test_an_answer_does_not_meet_the_question_that_came_while_the_thread_was_read(
    server: AgentServer, tmp_path: Path
) -> None:
    """Given a process that goes on although another has taken its run over, and one id for both."""
    server.bare_ids = True
    step = step_of(server, tmp_path, "twice")
    (first,) = (await step.visit()).asks
    step.answers = {first.key: text("yes")}
    resume = {first.key.partition(".")[0]: "yes"}
    told = write_told(add_told({}, step.answers))
    server.meanwhile.append(
        {"assistant_id": "twice", "command": {"resume": resume}, "metadata": told}
    )
    (second,) = (await step.visit()).asks
    assert second.key != first.key
    assert step.done == []


async def test_who_waits_for_long_begins_no_second_run(server: AgentServer, tmp_path: Path) -> None:
    server.join_seconds = 0.4
    step = step_of(server, tmp_path, "long")
    step.silent_seconds = 0.1
    report = await asyncio.wait_for(step.visit(), 20)
    assert report.outcome is Outcome.COMPLETED
    assert (step.done, server.count_runs()) == (["worked"], 1)


async def test_a_visit_that_is_cancelled_is_gone_on_with(
    server: AgentServer, tmp_path: Path
) -> None:
    step = step_of(server, tmp_path, "long")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(step.visit(), 0.15)
    assert (await step.visit()).outcome is Outcome.COMPLETED
    assert (step.done, server.count_runs()) == (["worked"], 1)


# Failures


async def test_an_agent_that_raises_fails_its_step_and_goes_on_from_there(
    server: AgentServer, tmp_path: Path
) -> None:
    step = step_of(server, tmp_path, "flaky")
    (ask,) = (await step.visit()).asks
    step.answers = {ask.key: YES}
    report = await step.visit()
    assert (report.outcome, report.raised) == (Outcome.FAILED, True)
    assert report.reason == "RemoteFailed: ValueError: out of luck"
    assert (await step.visit()).outcome is Outcome.COMPLETED
    assert step.done == ["approve True", "try", "try", "publish"]


@pytest.mark.parametrize("bare_ids", [False, True])
async def test_no_answer_is_given_to_another_question_after_a_failure_beside_it(
    server: AgentServer, tmp_path: Path, bare_ids: bool
) -> None:
    server.bare_ids = bare_ids
    step = step_of(server, tmp_path, "flaky_beside")
    asked, report = list[str](), await step.visit()
    while report.outcome is not Outcome.COMPLETED:
        assert report.asks or report.raised, report.reason
        for ask in report.asks:
            asked.append(ask.question.question)
            step.answers[ask.key] = text(f"answer {len(asked)}")
        report = await step.visit()
    first, second = cast("list[str]", report.facets["answer"])
    assert first != second, "two questions got two answers"
    assert asked.count("Go?") == 1, asked
    assert step.done.count("try") == 2


async def test_a_failure_that_the_state_does_not_show_is_no_end(
    server: AgentServer, tmp_path: Path
) -> None:
    server.joins_lost = True
    step = step_of(server, tmp_path, "joined_flaky")
    assert (await step.visit()).raised
    assert (await step.visit()).outcome is Outcome.COMPLETED
    assert step.done == ["prepare", "prepare", "try", "try"]


@pytest.mark.slow
async def test_a_server_that_is_away_fails_the_step(tmp_path: Path) -> None:
    agent = read_agent(mapping(f"http://127.0.0.1:{find_free_port()}", "gate"), "here")
    report = await RemoteStep(agent, tmp_path / "log").visit()
    assert (report.outcome, report.raised) == (Outcome.FAILED, True)
    assert report.reason == (
        "RemoteFailed: gate at 127.0.0.1: ConnectError: All connection attempts failed"
    )


async def test_a_graph_that_the_server_has_not_fails_the_step(
    server: AgentServer, tmp_path: Path
) -> None:
    report = await step_of(server, tmp_path, "nobody").visit()
    assert (report.outcome, report.raised) == (Outcome.FAILED, True)
    assert "Invalid assistant: nobody" in str(report.reason)


@pytest.mark.parametrize("visits", [1, 2])
async def test_a_static_breakpoint_fails_the_step_and_is_not_passed(
    server: AgentServer, tmp_path: Path, visits: int
) -> None:
    step = step_of(server, tmp_path, "stopped")
    for _ in range(visits):
        report = await step.visit()
        assert (report.outcome, report.raised) == (Outcome.FAILED, False)
        assert "static breakpoint" in str(report.reason)
    assert (step.done, server.count_runs()) == (["prepare"], 1)


async def test_a_static_breakpoint_beside_a_question_is_not_passed_by_its_answer(
    server: AgentServer, tmp_path: Path
) -> None:
    report = await step_of(server, tmp_path, "stopped_within").visit_twice()
    assert (report.outcome, report.asks) == (Outcome.FAILED, ())
    assert "static breakpoint" in str(report.reason)


async def test_what_has_ended_beside_a_question_is_no_breakpoint(
    server: AgentServer, tmp_path: Path
) -> None:
    report = await step_of(server, tmp_path, "quiet").finish({"Publish?": YES})
    assert report.facets == {"answer": [True]}


async def test_a_failed_graph_with_breakpoints_does_not_go_on(
    server: AgentServer, tmp_path: Path
) -> None:
    step = step_of(server, tmp_path, "stopped_flaky")
    assert (await step.visit()).raised
    report = await step.visit()
    assert (report.outcome, report.raised) == (Outcome.FAILED, False)
    assert "might pass one unasked" in str(report.reason)
    assert server.count_runs() == 1


async def test_a_node_interrupt_fails_the_step(server: AgentServer, tmp_path: Path) -> None:
    report = await step_of(server, tmp_path, "raised").visit()
    assert (report.outcome, report.asks) == (Outcome.FAILED, ())
    assert "NodeInterrupt" in str(report.reason)


async def test_an_answer_whose_question_somebody_else_answered_fails_the_step(
    server: AgentServer, tmp_path: Path
) -> None:
    step = step_of(server, tmp_path, "gate")
    (ask,) = (await step.visit()).asks
    async with get_client(url=server.url, api_key=None) as client:
        await server_answers(client, name_remote_thread(step.task), {"approved": True})
    step.answers = {ask.key: NO}
    report = await step.visit()
    assert (report.outcome, report.undelivered) == (Outcome.FAILED, (ask.key,))
    assert "somebody else" in str(report.reason)


async def server_answers(client: Any, thread_id: str, said: Any) -> None:
    state = await client.threads.get_state(thread_id)
    resume = {one["id"]: said for task in state["tasks"] for one in task["interrupts"]}
    run = await client.runs.create(thread_id, "gate", command={"resume": resume})
    await client.runs.join(thread_id, run["run_id"])


async def test_a_run_that_is_answered_otherwise_does_not_share_its_thread(
    server: AgentServer, tmp_path: Path
) -> None:
    step = step_of(server, tmp_path, "gate")
    (ask,) = (await step.visit()).asks
    step.answers = {ask.key: YES}
    await step.visit()
    step.answers = {ask.key: NO}
    report = await step.visit()
    assert report.outcome is Outcome.FAILED
    assert "already gone on with another answer" in str(report.reason)


# The mapping


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"graphId": None}, "`graphId` is missing"),
        ({"url": None}, "`url` is missing"),
        ({"run": print}, "not both"),
        ({"url": "file:///etc"}, "`url` must be the address"),
        ({"url": "http://a:b@host"}, "without a password"),
        ({"url": 7}, "`url` must be the address"),
        ({"store": InMemoryStore()}, "`store` of its server"),
        ({"graphId": 7}, "`graphId` must be a text"),
        ({"headers": ["x"]}, "`headers` must be a mapping"),
        ({"headers": {"x": "a\nb"}}, "`headers` must be texts"),
        ({"assistant": "x"}, "unknown key assistant"),
    ],
)
def test_a_mapping_that_is_not_clear_stops_the_start(more: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        read_agent({**mapping("http://127.0.0.1:2024", "agent"), **more}, "here")


async def test_it_always_fits_wherever_its_server_is() -> None:
    here, there = (read_agent(mapping(url, "agent"), "here") for url in ("http://a", "https://b"))
    assert here.capability.fingerprint == there.capability.fingerprint
    inspector = Inspector([here], InMemorySaver())
    begun = Begun("thread", "run", "s1", "stranger", waits=True)
    assert await inspector.find_misfit(begun) is None


def test_it_is_a_node_beside_others() -> None:
    agents: list[Agent] = [read_agent(mapping("http://a", "agent"), "here")]
    assert "stranger" in build(agents, InMemorySaver()).nodes
