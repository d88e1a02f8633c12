"""A graph behind LangGraph's own API, as a specialist: a `langgraph dev` server or a deployment.

Its thread there is found again by its id, so that a visit can be repeated after any crash. Nothing
is begun there before it was looked at, and what is begun is waited for.

A state alone does not tell that a graph has ended: servers lose the tasks behind a join from it
(langgraph-api 0.16.7), and then a thread that waits or has failed looks finished. So the status of
the thread and of its newest run have to agree.
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import httpx
from langchain_core.messages import convert_to_messages
from langgraph.types import Interrupt
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError

from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.domain.state import Ask, Outcome, Report
from hitl_orchestrator.nodes.agents import Agent
from hitl_orchestrator.nodes.checks import Checks
from hitl_orchestrator.nodes.embed import report_visit, word_task
from hitl_orchestrator.nodes.exchange import read_asks, word_answers
from hitl_orchestrator.nodes.outputs import report_outputs
from hitl_orchestrator.nodes.plain import make_plain
from hitl_orchestrator.nodes.run_kinds import RemoteGraph
from hitl_orchestrator.nodes.specialist import Answers, Task, Work
from hitl_orchestrator.nodes.stops import is_raised
from hitl_orchestrator.nodes.surroundings import build_remote
from hitl_orchestrator.nodes.threads import name_remote_thread
from hitl_orchestrator.nodes.told import add_told, check_told, read_told, write_told

MOST_RUNS = 1000  # of a thread; the API lists no more at once
CONNECT_SECONDS = 5.0
SILENT_SECONDS = 60.0  # servers send a blank every 5 s while one waits for a run
SECONDS_BETWEEN_LOOKS = 0.5  # at a thread that is busy with no run that could be waited for
_API_KEY = "x-api-key"  # the SDK takes it apart from the other headers


class RemoteFailed(Exception):
    """What went wrong behind the API, or on the way there."""


def embed_remote(
    agent: Agent,
    remote: RemoteGraph,
    checks: Checks | None = None,
    silent_seconds: float = SILENT_SECONDS,
) -> Work:
    """Return what the agent does at a visit. `checks`: of the whole process; None: of its own.

    `silent_seconds`: that its server may say nothing until it is asked anew.
    """
    checks = checks or Checks()

    async def work(task: Task, answers: Answers) -> Report:
        connect = partial(_connect, remote, silent_seconds)
        return await report_visit(_RemoteVisit(agent, remote, connect, checks, task, answers))

    return work


@dataclass(frozen=True)
class _Sight:
    """What a look at the thread showed. `told`: which answers its runs have gone on with.

    `thread`, `run`: the status of it and of its newest run; None: there is no run. `is_begun`:
    there is a state. `is_open`: some node is to go on; `is_silent`: one that has asked nothing.
    """

    thread: str
    run: str | None
    run_id: str
    told: Mapping[str, str]
    is_begun: bool
    is_open: bool
    is_silent: bool
    interrupts: Mapping[str, Interrupt[Any]]  # by the id there
    values: Any
    error: str

    @property
    def is_busy(self) -> bool:
        return self.run in ("pending", "running") or self.thread == "busy"

    @property
    def is_fresh(self) -> bool:
        """Tell whether nothing was ever run there."""
        return self.run is None and self.thread == "idle" and not self.is_begun

    @property
    def has_failed(self) -> bool:
        return self.run in ("error", "timeout") and self.thread in ("error", "idle", "interrupted")

    @property
    def has_ended(self) -> bool:
        is_idle = self.run == "success" and self.thread == "idle"
        return is_idle and self.is_begun and not (self.is_open or self.interrupts)

    @property
    def has_stopped(self) -> bool:
        return self.run == "success" and self.thread == "interrupted"

    @property
    def is_asking(self) -> bool:
        return self.has_stopped and bool(self.interrupts) and not self.is_silent


class _RemoteVisit:
    """A visit of an agent that runs elsewhere."""

    def __init__(
        self,
        agent: Agent,
        remote: RemoteGraph,
        connect: Callable[[], LangGraphClient],
        checks: Checks,
        task: Task,
        answers: Answers,
    ) -> None:
        self._agent = agent
        self._remote = remote
        self._connect = connect
        self._checks = checks
        self._task = task
        self.of = task, agent.capability.capabilityId
        self._answers = answers
        self._thread_id = name_remote_thread(task)
        self._waited_for: str | None = None  # the run that this visit saw at work
        self.undelivered = [*answers]

    async def work(self) -> Report:
        """Take the agent as far as it comes with these answers: to its next questions or its end.

        Raise RefusalNotAllowed when it would have to be told of a refusal and cannot be,
        RemoteFailed when its run fails or its server does not answer.
        """
        try:
            async with self._connect() as client:
                await client.threads.create(thread_id=self._thread_id, if_exists="do_nothing")
                return await self._go_on(client)
        except httpx.HTTPError as error:
            # without its traceback, which is not the agent's
            raise RemoteFailed(_describe(self._remote, error)) from None

    async def _go_on(self, client: LangGraphClient) -> Report:
        while True:
            sight = await _look(client, self._thread_id)
            if sight.is_busy:
                await self._wait(client, sight)
                continue
            check_told(sight.told, self._answers)
            self.undelivered = [key for key in self._answers if key not in sight.told]
            if sight.is_fresh:
                await self._start(client, sight, {"input": self._build_input()})
            elif sight.has_failed:
                await self._start_again(client, sight)
            elif sight.is_asking:
                if unanswered := await self._answer(client, sight):
                    return Report(outcome=Outcome.ASKING, asks=tuple(unanswered))
            elif sight.has_ended:
                self._check_delivered([])
                values = _read_values(self._agent, sight.values)
                return await report_outputs(self._agent, values, self._checks)
            else:
                raise _tell_where(sight)

    async def _start_again(self, client: LangGraphClient, sight: _Sight) -> None:
        """Go on from the last checkpoint after a failure, if that was of another visit."""
        if sight.run_id == self._waited_for:
            raise RemoteFailed(sight.error or f"its run there ended: {sight.run}")
        if sight.is_begun:
            await self._check_breakpoints(client)
        # what it was told is in its checkpoint: nothing is said twice
        begin: JsonObject = {} if sight.is_begun else {"input": self._build_input()}
        await self._start(client, sight, begin)

    async def _check_breakpoints(self, client: LangGraphClient) -> None:
        """Raise Invalid where to go on may be to pass a breakpoint: a failure may hide one."""
        drawn = await client.assistants.get_graph(self._remote.graph_id, xray=True)
        nodes: list[dict[str, Any]] = drawn.get("nodes", [])
        if stops := [str(node.get("id")) for node in nodes if _is_breakpoint(node)]:
            raise Invalid(
                "It failed there, and cannot go on, since it has static breakpoints"
                f" ({', '.join(stops)}) and might pass one unasked. Use `interrupt()`"
            )

    async def _answer(self, client: LangGraphClient, sight: _Sight) -> list[Ask]:
        """Tell it the answers; return those questions that have none, and then tell nothing."""
        asks = {
            id_: read_asks(self._agent, _tell_apart(interrupt, sight.told))
            for id_, interrupt in sight.interrupts.items()
        }
        waiting: list[Ask] = []
        for each in asks.values():
            waiting += each
        self._check_delivered(waiting)
        unanswered = [ask for ask in waiting if ask.key not in self._answers]
        if not unanswered:
            replies = self._word_replies(sight, asks)
            told = {ask.key: self._answers[ask.key] for ask in waiting}
            begin: JsonObject = {"command": {"resume": replies}}
            await self._start(client, sight, begin, add_told(sight.told, told))
        return unanswered

    def _check_delivered(self, waiting: Sequence[Ask]) -> None:
        """Raise Invalid where an answer has no question any more: somebody else has answered."""
        keys = {ask.key for ask in waiting}
        if any(key not in keys for key in self.undelivered):
            raise Invalid(
                "A question of it was answered on its own server, by somebody else than here:"
                " whether its agent heard the answer that was given here is not known"
            )

    def _word_replies(self, sight: _Sight, asks: Mapping[str, Sequence[Ask]]) -> dict[str, Json]:
        replies: dict[str, Json] = {}
        for id_, interrupt in sight.interrupts.items():
            given = [self._answers[ask.key] for ask in asks[id_]]
            replies[id_] = word_answers(self._agent, interrupt, given)
        return replies

    async def _start(
        self,
        client: LangGraphClient,
        sight: _Sight,
        begin: JsonObject,
        told: Mapping[str, str] | None = None,
    ) -> None:
        """Begin a run, unless another has begun meanwhile; wait for it. `told`: by then."""
        task = self._task.json_object()
        given = cast("dict[str, Any]", begin)
        given |= build_remote(self._agent.context, self._agent.config, task)
        try:
            run = await client.runs.create(
                self._thread_id,
                self._remote.graph_id,
                **given,
                metadata=write_told(sight.told if told is None else told),
                multitask_strategy="reject",
                durability="sync",
            )
        except ConflictError:
            return  # it is looked at again
        self.undelivered = []
        await self._join(client, run["run_id"])

    async def _wait(self, client: LangGraphClient, sight: _Sight) -> None:
        if sight.run in ("pending", "running"):
            await self._join(client, sight.run_id)
        else:
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    async def _join(self, client: LangGraphClient, run_id: str) -> None:
        """Wait until the run ends. Raise RemoteFailed if it does so by an error."""
        self._waited_for = run_id
        try:
            made = cast(object, await client.runs.join(self._thread_id, run_id))
        except httpx.ReadTimeout:
            return  # it is looked at again
        if error := _read_error(made):
            raise RemoteFailed(error)

    def _build_input(self) -> Json:
        task = self._task.json_object()
        if self._agent.input is not None:
            return make_plain("The mapping's `input`", self._agent.input(task))
        message: JsonObject = {"role": "user", "content": word_task(self._task)}
        return {"messages": [message], "objective": self._task.objective, **self._task.facets}


def _connect(remote: RemoteGraph, silent_seconds: float) -> LangGraphClient:
    """Return a client that sends what the mapping says, and no key of this process."""
    headers = {key: value for key, value in remote.headers.items() if key.lower() != _API_KEY}
    keys = [value for key, value in remote.headers.items() if key.lower() == _API_KEY]
    timeout = (CONNECT_SECONDS, silent_seconds, silent_seconds, CONNECT_SECONDS)
    return get_client(
        url=remote.url, api_key=keys[0] if keys else None, headers=headers, timeout=timeout
    )


def _describe(remote: RemoteGraph, error: httpx.HTTPError) -> str:
    """Return it with the server's name; the rest of an address may have secrets."""
    said = f"{type(error).__name__}: {error}".removesuffix(": ")
    return f"{remote.graph_id} at {httpx.URL(remote.url).host}: {said}"


async def _look(client: LangGraphClient, thread_id: str) -> _Sight:
    # the runs first: a state that is read after them is no older
    runs = cast("list[dict[str, Any]]", await client.runs.list(thread_id, limit=MOST_RUNS))
    thread = cast("dict[str, Any]", await client.threads.get(thread_id))
    state = cast("dict[str, Any]", await client.threads.get_state(thread_id, subgraphs=True))
    try:
        return _read_sight(runs, thread, state)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        name = type(error).__name__
        raise Invalid(f"Its server answers otherwise than LangGraph's: {name}: {error}") from error


def _read_sight(
    runs: list[dict[str, Any]], thread: dict[str, Any], state: dict[str, Any]
) -> _Sight:
    newest = max(runs, key=lambda run: str(run["created_at"])) if runs else dict[str, Any]()
    told: dict[str, str] = {}
    for run in runs:
        told |= read_told(run.get("metadata"))
    tasks = cast("list[dict[str, Any]]", state.get("tasks") or [])
    return _Sight(
        thread=thread["status"],
        run=newest["status"] if runs else None,
        run_id=newest["run_id"] if runs else "",
        told=told,
        is_begun=bool(state.get("created_at") or state.get("checkpoint")),
        is_open=bool(tasks or state.get("next")),
        is_silent=_is_silent(state),
        interrupts=_read_interrupts(thread, tasks),
        values=state.get("values"),
        error="; ".join(str(task["error"]) for task in tasks if task.get("error")),
    )


def _is_silent(state: Mapping[str, Any]) -> bool:
    """Tell whether a task, or one within, neither ended nor asks: it is at a static breakpoint."""
    for task in cast("list[dict[str, Any]]", state.get("tasks") or []):
        # JavaScript gives no results; but what has ended is not `next`
        is_next = task.get("name") in (state.get("next") or [])
        is_over = task.get("result") is not None or task.get("error")
        if is_next and not is_over and not task.get("interrupts"):
            return True
        if _is_silent(task.get("state") or {}):
            return True
    return False


def _read_interrupts(
    thread: dict[str, Any], tasks: list[dict[str, Any]]
) -> dict[str, Interrupt[Any]]:
    """Return what waits, by its id: of the state and of the thread, each of which may lack some."""
    of_thread = cast("dict[str, list[dict[str, Any]]]", thread.get("interrupts") or {})
    of_tasks = [cast("list[dict[str, Any]]", task.get("interrupts") or []) for task in tasks]
    interrupts: dict[str, Interrupt[Any]] = {}
    for each in itertools.chain(*of_tasks, *of_thread.values()):
        schema = each.get("response_schema")
        interrupt = Interrupt(value=each["value"], id=str(each.get("id")), response_schema=schema)
        if is_raised(interrupt):
            raise Invalid(
                "It stopped by a NodeInterrupt, or its server is too old to give its questions an"
                " id: no answer to it could be told from another's. Use `interrupt()`"
            )
        interrupts[interrupt.id] = interrupt
    return interrupts


def _is_breakpoint(node: Mapping[str, Any]) -> bool:
    return "__interrupt" in (node.get("metadata") or {})


def _tell_apart(interrupt: Interrupt[Any], told: Mapping[str, str]) -> Interrupt[Any]:
    """Return it with an id that no answer was given to yet.

    Before LangGraph 1.2.20 all questions of one task have the same.
    """
    stems = {key.rpartition(".")[0] for key in told}
    answered = [stem for stem in stems if stem.partition("~")[0] == interrupt.id]
    id_ = f"{interrupt.id}~{len(answered)}" if answered else interrupt.id
    return Interrupt(
        value=interrupt.value, id=id_, response_schema=cast(Any, interrupt.response_schema)
    )


def _read_values(agent: Agent, values: Any) -> Any:
    """Return the state as a graph of ours leaves it behind, as far as facets are found in it."""
    if agent.output is not None or not isinstance(values, Mapping):
        return values
    state = {**cast(Mapping[str, Any], values)}
    if "structuredResponse" in state:  # as JavaScript has it
        state.setdefault("structured_response", state["structuredResponse"])
    if "messages" in state and "messages" not in agent.capability.outputFacets:
        state["messages"] = _read_last(state["messages"])
    return state


def _read_last(messages: object) -> list[Any]:
    """Return the last message alone, which is all that is read of them."""
    last = cast("list[Any]", messages)[-1:] if isinstance(messages, list) else []
    try:
        return [*convert_to_messages(last)]
    except (NotImplementedError, ValueError):
        return []


def _read_error(made: object) -> str | None:
    """Return what a run came to by an error; None: by none."""
    error = cast(Mapping[str, Any], made).get("__error__") if isinstance(made, Mapping) else None
    if not isinstance(error, Mapping):
        return None
    said = cast(Mapping[str, Any], error)
    return f"{said.get('error')}: {said.get('message')}"


def _tell_where(sight: _Sight) -> Invalid:
    """Return why nothing goes on."""
    if sight.has_stopped:
        # a silent one beside a question, too: it would go on with the answer
        return Invalid(
            "It stopped at a static breakpoint (interrupt_before, interrupt_after): nobody can be"
            " asked there behind an API. Use `interrupt()`"
        )
    if sight.run == "interrupted":
        return Invalid("Its run was cancelled on its own server")
    return Invalid(
        f"It is not known where it stands: its thread is {sight.thread}, its newest run"
        f" {sight.run or 'is gone'}"
    )
