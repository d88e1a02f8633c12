"""A graph behind LangGraph's own API, as a specialist: a `langgraph dev` server or a deployment.

Its thread there is found again by its id, so that a visit can be repeated after any crash. Nothing
is begun there before it was looked at, and what is begun is waited for.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import httpx
from langchain_core.messages import convert_to_messages
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
from hitl_orchestrator.nodes.sight import Sight, look, tell_apart, tell_where
from hitl_orchestrator.nodes.specialist import Answers, Task, Work
from hitl_orchestrator.nodes.surroundings import build_remote
from hitl_orchestrator.nodes.threads import name_remote_thread
from hitl_orchestrator.nodes.told import add_told, check_told, write_told

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
            sight = await look(client, self._thread_id)
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
                raise tell_where(sight)

    async def _start_again(self, client: LangGraphClient, sight: Sight) -> None:
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

    async def _answer(self, client: LangGraphClient, sight: Sight) -> list[Ask]:
        """Tell it the answers; return those questions that have none, and then tell nothing."""
        asks = {
            id_: read_asks(self._agent, tell_apart(interrupt, sight.told))
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

    def _word_replies(self, sight: Sight, asks: Mapping[str, Sequence[Ask]]) -> dict[str, Json]:
        replies: dict[str, Json] = {}
        for id_, interrupt in sight.interrupts.items():
            given = [self._answers[ask.key] for ask in asks[id_]]
            replies[id_] = word_answers(self._agent, interrupt, given)
        return replies

    async def _start(
        self,
        client: LangGraphClient,
        sight: Sight,
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

    async def _wait(self, client: LangGraphClient, sight: Sight) -> None:
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


def _is_breakpoint(node: Mapping[str, Any]) -> bool:
    return "__interrupt" in (node.get("metadata") or {})
