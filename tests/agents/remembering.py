"""A bare graph that counts, in a store it did not bring, how often each tenant came."""

from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph
from langgraph.store.base import BaseStore
from langgraph.types import interrupt
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    objective: str
    visits: int


async def count(state: State, config: RunnableConfig, *, store: BaseStore) -> State:
    tenant = config.get("configurable", {})["metadata"]["tenant"]
    kept = await store.aget((tenant,), "visits")
    visits = (kept.value["number"] if kept else 0) + 1
    await store.aput((tenant,), "visits", {"number": visits})
    return {"visits": visits}


def ask(state: State) -> State:
    interrupt(f"Visit {state.get('visits')}. Go on?")
    return {}


graph = (
    StateGraph(State)
    .add_node("count", count)
    .add_node("ask", ask)
    .add_edge(START, "count")
    .add_edge("count", "ask")
)
