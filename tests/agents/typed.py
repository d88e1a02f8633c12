"""Typed state: Pydantic objects and dataclasses in the channels, of a subgraph too, before and
after a question with a typed answer.
"""

from dataclasses import dataclass
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict


class Source(BaseModel):
    title: str
    year: int


@dataclass
class Finding:
    source: Source
    text: str


class Verdict(BaseModel):
    good: bool
    stars: int


class Review(TypedDict):
    review: dict[str, Any]


class State(Review):
    source: Source
    finding: Finding
    citation: str


def search(state: State) -> dict[str, Any]:
    return {"source": Source(title="On Pauses", year=1971)}


def read(state: State) -> dict[str, Any]:
    source = state["source"]
    return {"finding": Finding(source, f"{source.title} ({source.year})")}


def judge(state: State) -> dict[str, Any]:
    verdict = interrupt({"question": "How good is it?"}, response_schema=Verdict)
    return {
        "review": {"finding": state["finding"].text, "good": verdict.good, "stars": verdict.stars}
    }


def cite(state: State) -> dict[str, Any]:
    return {"citation": state["source"].title}


inner = StateGraph(State, output_schema=Review)
inner.add_node("read", read)
inner.add_node("judge", judge)
inner.add_edge(START, "read")
inner.add_edge("read", "judge")
inner.add_edge("judge", END)

graph = StateGraph(State)
graph.add_node("search", search)
graph.add_node("review", inner.compile())
graph.add_edge(START, "search")
graph.add_edge("search", "review")
graph.add_node("cite", cite)
graph.add_edge("review", "cite")
graph.add_edge("cite", END)

agent: dict[str, Any] = {
    "capabilityId": "reviews.typed",
    "displayName": "Reviewer",
    "inputFacets": ["objective"],
    "outputFacets": ["review", "source", "citation"],
    "facets": {"source": {"type": "object", "required": ["title"]}},
    "run": graph.compile(),
}
