"""What an agent is run with: what it names itself, its context, config and store, and metadata."""

from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from typing import Any, NotRequired

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnablePassthrough
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.domain.state import Outcome, Report
from hitl_orchestrator.nodes.agents import Agent
from hitl_orchestrator.nodes.embed import embed_agent
from tests.steps import TASK, YES, agent, returns


class State(TypedDict, total=False):
    objective: str
    answer: Any


class Brief(BaseModel):
    audience: str


@dataclass
class Tenant:
    name: str
    region: str = "eu"


def graph_of(node: Callable[..., Any], context: type[Any] | None = None, **kept: Any) -> Any:
    builder: Any = StateGraph(State, context_schema=context)
    return builder.add_node("act", node).add_edge(START, "act").compile(**kept)


async def visit(one: Agent, saver: InMemorySaver | None = None, **answers: Any) -> Report:
    store = InMemoryStore()
    store.put(("kept",), "word", {"is": "ours"})
    return await embed_agent(one, saver or InMemorySaver(), store=store)(TASK, answers)


async def finish(one: Agent) -> Any:
    report = await visit(one)
    assert report.outcome is Outcome.COMPLETED, report.reason
    return report.facets["answer"]


def refuse(act: Callable[[], object]) -> str:
    with pytest.raises(ConfigurationError) as refused:
        act()
    return refused.value.detail


# What a function names


async def test_a_function_gets_what_it_names_beside_its_task() -> None:
    async def run(
        task: Any, config: RunnableConfig, *, store: BaseStore, runtime: Runtime[Any], writer: Any
    ) -> Any:
        kept = await store.aget(("kept",), "word")
        writer({"progress": 1})
        thread = config.get("configurable", {})["thread_id"]
        assert (runtime.store, thread.count("run") > 0) == (store, True)
        return {"answer": kept and kept.value["is"]}

    assert await finish(agent(run)) == "ours"


async def test_a_synchronous_function_does_too() -> None:
    def run(task: Any, config: RunnableConfig, often: int = 2) -> Any:
        return {"answer": [config.get("configurable", {})["metadata"], often]}

    assert await finish(agent(run)) == [{"tenant": "acme"}, 2]


def yielding(task: Any) -> Generator[int]:
    yield 1


def taking_nothing() -> Any:
    return {}


def taking_more(task: Any, model: Any, *rest: Any, config: Any, mood: str = "") -> Any:
    return {}


async def yielding_later(task: Any) -> AsyncGenerator[int]:
    yield 1


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (yielding, "`run` is a generator"),
        (yielding_later, "`run` is a generator"),
        (taking_nothing, "`run` takes no argument"),
        (taking_more, "`run` needs model; it is called with"),
    ],
)
def test_what_cannot_be_called_with_a_task_stops_the_start(run: Any, says: str) -> None:
    assert says in refuse(lambda: agent(run))


# Other Runnables


def take_objective(task: Any) -> Any:
    return {"answer": task["objective"]}


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (take_objective, "Write to Ann"),
        (returns("a text"), "a text"),
        (returns(AIMessage("as a message")), "as a message"),
        (returns({"other": 1}), {"other": 1}),
    ],
)
async def test_a_chain_makes_its_one_facet(said: Callable[[Any], Any], answer: Any) -> None:
    chain: Any = RunnableLambda(said) | RunnablePassthrough[Any]()
    assert await finish(agent(chain)) == answer


# A mapping that is not written to the letter


async def test_what_is_meant_plainly_is_taken() -> None:
    one = agent(
        returns({"answer": Brief(audience="all")}),
        outputFacets="answer",
        inputFacets="objective",
        facets={"answer": Brief},
    )
    assert one.capability.outputFacets == ("answer",)
    assert one.schemas["answer"]["required"] == ["audience"]
    assert await finish(one) == {"audience": "all"}
    wrong = agent(returns({"answer": {}}), facets={"answer": Brief})
    assert "breaks the rule `required`" in ((await visit(wrong)).reason or "")


def test_a_class_without_a_schema_stops_the_start() -> None:
    class Opaque: ...

    reason = refuse(lambda: agent(returns({}), facets={"answer": Opaque}))
    assert "`facets.answer` is a class without a JSON Schema" in reason


# Context


def tell_context(state: State, runtime: Runtime[Any]) -> State:
    return {"answer": repr(runtime.context)}


def name_tenant(task: Any) -> Any:
    return Tenant(task["metadata"]["tenant"])


class Asked(BaseModel):
    name: str = "nobody"


class Named(TypedDict):
    name: str
    region: NotRequired[str]


@pytest.mark.parametrize(
    ("schema", "given", "answer"),
    [
        (None, None, "None"),
        (Asked, None, "Asked(name='nobody')"),
        (Asked, {"name": "ann"}, "Asked(name='ann')"),
        (Named, {"name": "ann"}, "{'name': 'ann'}"),
        (Tenant, name_tenant, repr(Tenant("acme"))),
        (Tenant, Tenant("fixed"), repr(Tenant("fixed"))),
        (Tenant, returns({"name": "as a mapping"}), repr(Tenant("as a mapping"))),
    ],
)
async def test_a_graph_has_its_context(schema: Any, given: Any, answer: str) -> None:
    assert await finish(agent(graph_of(tell_context, schema), context=given)) == answer


async def test_it_has_it_after_an_answer_too() -> None:
    def ask(state: State, runtime: Runtime[Any]) -> State:
        interrupt("Go on?")
        return {"answer": runtime.context.name}

    one, saver = agent(graph_of(ask, Tenant), context=name_tenant), InMemorySaver()
    [question] = (await visit(one, saver)).asks
    assert (await visit(one, saver, **{question.key: YES})).facets == {"answer": "acme"}


@pytest.mark.parametrize("schema", [Tenant, Named])
def test_a_context_that_nobody_gives_stops_the_start(schema: type) -> None:
    graph = graph_of(tell_context, schema)
    assert "the graph's context needs name: give a `context`" in refuse(lambda: agent(graph))


async def test_a_context_that_does_not_fit_fails_the_step() -> None:
    report = await visit(agent(graph_of(tell_context, Tenant), context={"nome": "ann"}))
    assert (report.outcome, "nome" in (report.reason or "")) == (Outcome.FAILED, True)


# Config


def tell_config(state: State, config: RunnableConfig) -> State:
    configurable = config.get("configurable", {})
    told = {name: configurable.get(name) for name in ("model", "metadata")}
    return {"answer": {**told, "tags": config.get("tags")}}


async def test_a_graph_has_its_config_and_the_metadata_of_the_run() -> None:
    def config(task: Any) -> RunnableConfig:
        return {"configurable": {"model": task["metadata"]["tenant"]}, "tags": ["ours"]}

    told = await finish(agent(graph_of(tell_config), config=config))
    assert told == {"model": "acme", "metadata": {"tenant": "acme"}, "tags": ["ours"]}


def find_none(task: Any) -> Any:
    return task["none"]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"model": "small"}, "has model, which is no key of a RunnableConfig"),
        ({"configurable": {"thread_id": "of another"}}, "may not set thread_id"),
        ({"configurable": {"__pregel_resuming": True}}, "may not set __pregel_resuming"),
        (returns(3), "returned int, not a mapping"),
        (find_none, "The mapping's `config` raised KeyError"),
    ],
)
async def test_a_config_that_does_not_fit_fails_the_step(config: Any, says: str) -> None:
    report = await visit(agent(graph_of(tell_config), config=config))
    assert report.outcome is Outcome.FAILED
    assert says in (report.reason or "")


# Store


async def read_store(state: State, *, store: BaseStore) -> State:
    kept = await store.aget(("kept",), "word")
    return {"answer": kept and kept.value["is"]}


async def test_a_graph_without_a_store_gets_one_and_one_with_its_own_keeps_it() -> None:
    own = InMemoryStore()
    own.put(("kept",), "word", {"is": "its own"})
    assert await finish(agent(graph_of(read_store))) == "ours"
    assert await finish(agent(graph_of(read_store, store=own))) == "its own"
    assert await finish(agent(graph_of(read_store), store=own)) == "its own"
    assert "`store` must be a LangGraph store" in refuse(lambda: agent(read_store, store={}))
