"""The graph for tools that read langgraph.json: `langgraph dev`, Studio.

The agents of the settings, in memory, without our server: for looking and stepping. It takes
`objective`, `inputs` and `outputs`, interrupts with the question itself, is resumed with an answer
in our words (`{"approved": true}`, docs/agents.md), and returns `result`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Required, cast
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.channels.ephemeral_value import EphemeralValue
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from pydantic import Field, ValidationError
from typing_extensions import TypedDict

from hitl_orchestrator.domain.answers import read_said
from hitl_orchestrator.domain.capability import Registry, default_outputs
from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.fitting import settle
from hitl_orchestrator.domain.hitl import Decision, HitlRequest, Kind, Settled
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.domain.run import NewRun
from hitl_orchestrator.domain.state import RUN, Delta, RunSettings, Snapshot
from hitl_orchestrator.graph.build import Graph, add_nodes, embed_all
from hitl_orchestrator.graph.channel import State
from hitl_orchestrator.graph.decisions import start
from hitl_orchestrator.nodes.agents import Agent, build_registry
from hitl_orchestrator.nodes.checks import Checks
from hitl_orchestrator.nodes.model import build_chat_model
from hitl_orchestrator.nodes.planner import Planner
from hitl_orchestrator.nodes.proposal import build_proposer
from hitl_orchestrator.nodes.routing import PLANNER, Node
from hitl_orchestrator.server.services import agents_of
from hitl_orchestrator.server.settings import Settings, load_settings

BEGIN = "begin"
# what a person who is asked needs; the rest of a request is for programs
SHOWN = {
    "requestId",
    "originAgent",
    "question",
    "kind",
    "options",
    "allowFreeForm",
    "action",
    "responseSchema",
    "additionalContext",
    "payload",
    "urgency",
    "earlier",
    "operatorPrompt",
}
EXAMPLES: Mapping[Kind, tuple[JsonObject, ...]] = {
    Kind.APPROVAL: ({"approved": True},),
    Kind.CHOICE: ({"selectedOptionId": "the id of an option"},),
    Kind.FREEFORM: ({"freeformText": "in your own words"},),
    Kind.FORM: ({"data": {"field": "valid against `responseSchema`"}},),
    Kind.OPEN: ({"approved": True}, {"data": "any JSON"}),
}
OF_ACTIONS: Mapping[Decision, JsonObject] = {
    Decision.APPROVE: {"approved": True},
    Decision.EDIT: {"approved": True, "editedArguments": {"name": "all of them, some changed"}},
    Decision.RESPOND: {"freeformText": "in your own words"},
    Decision.REJECT: {"approved": False, "freeformText": "why not"},
}


class StudioInput(TypedDict, total=False):
    """What is to be done."""

    # ephemeral: the next input of a thread has nothing of the one before
    objective: Required[
        Annotated[str, Field(description="What is to be done, in a sentence"), EphemeralValue]
    ]
    inputs: Annotated[
        dict[str, Any], Field(description="Facets that are at hand, by name"), EphemeralValue
    ]
    outputs: Annotated[
        list[str],
        Field(description="Facets that are wanted; none: as the settings say"),
        EphemeralValue,
    ]


class StudioOutput(TypedDict, total=False):
    result: Annotated[dict[str, Any] | None, Field(description="`outputs`, and what is `notDone`")]
    error: Annotated[str | None, Field(description="Why the run failed")]


class StudioState(State, StudioInput, StudioOutput):
    pass


async def orchestrator() -> Graph:
    """Return the graph of the settings. Such tools call it for each run, in their event loop."""
    return await asyncio.to_thread(_build_once, _open_saver())


@cache  # here, on the loop: two that come at once have one
def _open_saver() -> InMemorySaver:
    """Return where plugged-in graphs keep their threads, as long as the process lives."""
    return InMemorySaver()


@cache
def _build_once(saver: InMemorySaver) -> Graph:
    settings = load_settings()
    return build_for_studio(agents_of(settings), settings, saver)


def build_for_studio(agents: Sequence[Agent], settings: Settings, saver: InMemorySaver) -> Graph:
    """Compile the orchestrator over these agents for a person who types input and answers."""
    registry = build_registry(agents)
    model = build_chat_model(
        settings.openai_api_key, settings.openai_model, settings.openai_base_url
    )

    async def begin(given: StudioInput, config: RunnableConfig) -> Command[Any]:
        thread_id: str = config.get("configurable", {})["thread_id"]
        try:
            run = _read_input(given, registry, settings, thread_id)
        except Invalid as error:  # as an end: the tools hide what is raised
            return Command(update={"result": None, "error": error.detail}, goto=END)
        first = Delta(first=Snapshot.first(run))
        update = {RUN: first.write(), "result": None, "error": None}
        return Command(update=update, goto=PLANNER)

    graph = StateGraph(StudioState, input_schema=StudioInput, output_schema=StudioOutput)
    # cast: the types of LangGraph know no functions that take a config
    graph.add_node(BEGIN, cast(Any, begin), destinations=(PLANNER, END))
    planner = Planner(registry, build_proposer(model) if model else None)
    works = embed_all(agents, saver, Checks())
    add_nodes(graph, planner, works, pause_for_words, _showing_the_end)
    graph.add_edge(START, BEGIN)
    return graph.compile(checkpointer=saver, name="orchestrator")


async def pause_for_words(requests: Sequence[HitlRequest]) -> Sequence[Settled]:
    """Interrupt with the question; with several, for answers by their ids.

    LangGraph gives the interrupts of one node one id. Asked one after the other, an answer to the
    first that came twice would be one to the second.
    """
    return [_ask(requests[0])] if len(requests) == 1 else _ask_together(requests)


def _ask(request: HitlRequest) -> Settled:
    shown = show_question(request)
    while True:
        try:
            return _settle(request, interrupt(shown))
        except Invalid as error:
            shown = {**shown, "refused": error.detail}


def _ask_together(requests: Sequence[HitlRequest]) -> Sequence[Settled]:
    settled: dict[str, Settled] = {}
    refused: JsonObject = {}
    while waiting := {each.requestId: each for each in requests if each.requestId not in settled}:
        questions: list[Json] = [show_question(each) for each in waiting.values()]
        shown = {"questions": questions, "answerWith": "answers by `requestId`"}
        said: Json = interrupt({**shown, "refused": refused} if refused else shown)
        refused = {}
        for request_id, answer in (said if isinstance(said, dict) else {str(said): None}).items():
            try:
                settled[request_id] = _settle(waiting[request_id], answer)
            except KeyError:
                refused[request_id] = "No question of this id waits."
            except Invalid as error:
                refused[request_id] = error.detail
    return [settled[request.requestId] for request in requests]


def _settle(request: HitlRequest, said: Json) -> Settled:
    return settle(request, [read_said(request, said)])


def show_question(request: HitlRequest) -> JsonObject:
    """Return the question as a person is shown it, with the words of an answer."""
    whole = request.model_dump(mode="json", include=SHOWN, exclude_none=True)
    if request.kind is not Kind.OPEN:
        del whole["payload"]  # which says the same again
    whole["answerWith"] = _list_examples(request)
    return {name: each for name, each in whole.items() if each != []}


def _list_examples(request: HitlRequest) -> list[JsonObject]:
    if request.action is None:
        return [*EXAMPLES[request.kind], OF_ACTIONS[Decision.REJECT]]
    return [OF_ACTIONS[decision] for decision in request.action.allowedDecisions]


def _read_input(
    given: StudioInput, registry: Registry, settings: Settings, thread_id: str
) -> RunSettings:
    """Raise Invalid, with what a server would refuse it with."""
    try:
        new = NewRun.model_validate(given)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise Invalid(f"`{place}` of the input: {problem['msg']}.") from error
    wanted = new.outputs or default_outputs(registry, settings.default_outputs)
    run = RunSettings(
        runId=f"run_{uuid4().hex}",
        threadId=thread_id,
        objective=new.objective,
        inputs=new.inputs,
        outputs=tuple(dict.fromkeys(wanted)),
        maxHitlRequests=settings.max_requests,
        hitlEnabled=settings.hitl_enabled,
    )
    start(registry, run, {}, datetime.now(UTC))
    return run


def _showing_the_end(node: Node) -> Node:
    async def shown(given: Any) -> Command[Any]:
        said = await node(given)
        if said.goto != END:
            return said
        update = cast("dict[str, Any]", said.update)
        state = Snapshot.of(given).after(Delta.of(update[RUN]))
        ending = state.result
        error = ending and ending.error
        result = ending and ending.result.json_object()
        told = {"result": result, "error": error.message if error else None}
        return Command(update={**update, **told}, goto=END)

    return shown
