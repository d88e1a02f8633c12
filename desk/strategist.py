"""Finds what an announcement has to say, and asks whom to address."""

import asyncio
import operator
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel, Field

from hitl_orchestrator.desk import objective, source
from hitl_orchestrator.desk.agent import (
    STRATEGIST,
    AgentMapping,
    DeskAnswer,
    DeskTask,
    ask,
    describe_maker,
)
from hitl_orchestrator.desk.audiences import EXISTING, GENERAL, Audience, addressed_by, meant, named
from hitl_orchestrator.desk.claims import figures, support, unsupported_figures
from hitl_orchestrator.desk.facets import (
    AUDIENCE,
    MAX_MUST_INCLUDE,
    SOURCE,
    Brief,
    KeyPoint,
    schema_of,
)
from hitl_orchestrator.desk.markdown import MAX_CHARACTERS
from hitl_orchestrator.desk.prompt import instructed
from hitl_orchestrator.desk.prose import clipped, quoted
from hitl_orchestrator.desk.ranking import ranked, useful
from hitl_orchestrator.desk.source import Source
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.nodes.model import ask_model

MAX_KEY_POINTS = 12
MAX_LINKS = 10
MAX_OPTIONS = 3  # audiences found in the source, beside the two that there always are
MUST_LIMIT = 140  # a longer warning would leave an X post no room for anything else


class StrategistState(DeskTask):
    source: JsonObject
    question: JsonObject | None
    answer: DeskAnswer
    brief: JsonObject
    warnings: Annotated[list[str], operator.add]


class Thought(BaseModel):
    """`number`: of the point it puts into words, 0 for none of them."""

    number: int
    text: str = Field(min_length=1, max_length=300)


class Thoughts(BaseModel):
    """What a model adds to the brief."""

    angle: str = Field(min_length=1, max_length=600)
    keyPoints: list[Thought] = Field(min_length=1, max_length=MAX_KEY_POINTS)


class Addressed(NamedTuple):
    """Whom to rank for, how to call them, who said so, and why nobody did."""

    audience: Audience
    name: str
    origin: Literal["input", "person", "nobody"]
    why: str | None = None


def agent(model: ChatOpenAI | None) -> AgentMapping:
    async def write_brief(state: StrategistState) -> dict[str, Json]:
        brief = offline_brief(state)
        return await thought_over(brief, state, model) if model else {"brief": brief.json_object()}

    graph = StateGraph(StrategistState)
    graph.add_node("read", read)
    graph.add_node("ask_audience", ask_audience)
    graph.add_node("write_brief", write_brief)
    graph.add_edge(START, "read")
    graph.add_conditional_edges("read", after_reading, ["ask_audience", "write_brief"])
    graph.add_edge("ask_audience", "write_brief")
    graph.add_edge("write_brief", END)
    return {
        "capabilityId": STRATEGIST,
        "displayName": "Strategist",
        "summary": (
            "Reads the source, ranks its points, asks whom to address, and writes the brief."
        ),
        "inputFacets": ["objective"],
        "optionalInputFacets": ["source", "audience"],
        "outputFacets": ["brief"],
        "facets": {"source": SOURCE, "audience": AUDIENCE, "brief": schema_of(Brief)},
        "run": graph,
    }


def read(state: StrategistState) -> dict[str, Json]:
    given = str(state["facets"].get("source") or "")
    by_itself = objective.read(state["objective"])
    found = source.read(given, state["objective"]) if given else by_itself
    if not (found.title or found.version):
        found = found.but(title=by_itself.title, version=by_itself.version)
    found = found.but(product=found.product or by_itself.product)
    too_long = f"The source has {len(given)} characters; only the first {MAX_CHARACTERS} were read."
    return {
        "source": found.json_object(),
        "question": None if state["facets"].get("audience") else question(found),
        "warnings": [too_long] if len(given) > MAX_CHARACTERS else [],
    }


def after_reading(state: StrategistState) -> str:
    return "ask_audience" if state["question"] else "write_brief"


def question(found: Source) -> JsonObject:
    """Ask whom to address: those the source's points speak to, the most addressed first.

    The two groups that there always are come last.
    """
    texts = [point.text for point in found.points]
    topic = _topic(found)
    points = "\n".join(
        f"- {clipped(point.text, 160)}" for point in ranked(found.points, GENERAL)[:6]
    )
    return {
        "question": f"Whom should the announcement{topic} address?",
        "kind": "choice",
        "options": [
            *(
                _option(a, f"{len(theirs)} of {len(texts)} points, e.g. “{clipped(theirs[0], 90)}”")
                for a, theirs in addressed_by(texts)[:MAX_OPTIONS]
            ),
            _option(EXISTING, "What changes for them comes first."),
            _option(GENERAL, "The points as the source weighs them."),
        ],
        "allowFreeForm": True,
        "additionalContext": f"The source's strongest points:\n\n{points}"
        if points
        else "The source makes no points of its own.",
    }


def _topic(found: Source) -> str:
    if found.title:
        return f" “{clipped(found.title, 100)}”"
    if found.product or found.version:
        name = " ".join([found.product or "version", found.version or ""])
        return f" of {name.strip()}"
    return ""


def _option(audience: Audience, description: str) -> Json:
    return {
        "id": audience.id,
        "label": audience.label[0].upper() + audience.label[1:],
        "description": description,
    }


def ask_audience(state: StrategistState) -> dict[str, DeskAnswer]:
    return {"answer": ask(state["question"] or {})}


def offline_brief(state: StrategistState) -> Brief:
    found, addressed = Source.model_validate(state["source"]), _addressed(state)
    points = [
        KeyPoint(text=point.text, kind=point.kind, section=point.section)
        for point in ranked(found.points, addressed.audience)[:MAX_KEY_POINTS]
    ]
    return Brief(
        title=found.title,
        product=found.product,
        version=found.version,
        audience=addressed.name,
        audienceFrom=addressed.origin,
        why=addressed.why,
        angle=_angle(addressed.name, points),
        summary=found.summary,
        keyPoints=tuple(points),
        mustInclude=_must_include(state["objective"], found, points),
        links=tuple(useful(found.links)[:MAX_LINKS]),
        figures=tuple(figures("\n".join(point.text for point in points))),
        madeBy=describe_maker(None),
    )


def _addressed(state: StrategistState) -> Addressed:
    if given := state["facets"].get("audience"):
        return Addressed(meant(given), given, "input")
    answer = state["answer"]
    if answer["status"] == "denied":
        return Addressed(GENERAL, GENERAL.label, "nobody", answer.get("reason"))
    if chosen := answer.get("selectedOptionId"):
        return Addressed(named(chosen), named(chosen).label, "person")
    typed = " ".join((answer.get("freeformText") or GENERAL.label).split())
    return Addressed(meant(typed), clipped(typed, 200), "person")


def _angle(audience: str, points: Sequence[KeyPoint]) -> str:
    urgent = next((point.text for point in points if point.kind in ("breaking", "security")), None)
    lead = next(
        (point.text for point in points if point.kind not in ("breaking", "security")), None
    )
    advice = [f"lead with “{clipped(lead, 120)}”"] if lead else []
    advice += [f"do not let them miss “{clipped(urgent, 120)}”"] if urgent else []
    nothing = "say what it is, for the source makes no points of its own"
    return f"For {audience}: {'; '.join(advice) or nothing}."


def _must_include(objective: str, found: Source, points: Sequence[KeyPoint]) -> tuple[str, ...]:
    """The objective's quotations, what the source says must be in, and the first short warnings of
    a break and of a danger.
    """
    short = [point for point in points if len(point.text) <= MUST_LIMIT]
    warnings: list[str] = []
    for kind in ("breaking", "security"):
        warnings += [point.text for point in short if point.kind == kind][:1]
    lines = dict.fromkeys(
        line for line in (*quoted(objective), *found.must, *warnings) if 3 <= len(line) <= 1000
    )
    return tuple(lines)[:MAX_MUST_INCLUDE]


async def thought_over(brief: Brief, state: StrategistState, model: ChatOpenAI) -> dict[str, Json]:
    """The brief with the model's angle and points; without an answer that fits, as it was, and a
    warning.
    """
    text = str(state["facets"].get("source") or state["objective"])
    messages = instructed(
        "strategist",
        objective=state["objective"],
        source=text[:MAX_CHARACTERS],
        audience=brief.audience,
        points={str(number): point.text for number, point in enumerate(brief.keyPoints, start=1)},
    )

    known = await asyncio.to_thread(support, [text, state["objective"]])

    def misfit(thoughts: Thoughts) -> str | None:
        if any(
            not 0 <= thought.number <= len(brief.keyPoints) or not thought.text.strip()
            for thought in thoughts.keyPoints
        ):
            return "a key point is empty, or has a number that no point of the data has"
        invented = unsupported_figures(
            "\n".join([thoughts.angle, *(t.text for t in thoughts.keyPoints)]), known
        )
        return (
            f"these figures are not in the source: {', '.join(invented[:5])}" if invented else None
        )

    thoughts, why = await ask_model(model, messages, Thoughts, misfit)
    if thoughts is None:
        return {
            "brief": brief.json_object(),
            "warnings": [f"The brief was made by {brief.madeBy}: {why}."],
        }
    points = tuple(_worded(thought, brief.keyPoints) for thought in thoughts.keyPoints)
    return {
        "brief": brief.but(
            angle=thoughts.angle, keyPoints=points, madeBy=describe_maker(model.model_name)
        ).json_object()
    }


def _worded(thought: Thought, points: Sequence[KeyPoint]) -> KeyPoint:
    text = " ".join(thought.text.split())
    return points[thought.number - 1].but(text=text) if thought.number else KeyPoint(text=text)
