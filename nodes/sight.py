"""What a look at a thread on another server shows: where a graph there stands, and what it asks.

A state alone does not tell that a graph has ended: servers lose the tasks behind a join from it
(langgraph-api 0.16.7), and then a thread that waits or has failed looks finished. So the status of
the thread and of its newest run have to agree.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from langgraph.types import Interrupt
from langgraph_sdk.client import LangGraphClient

from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.nodes.stops import is_raised
from hitl_orchestrator.nodes.told import read_told

MOST_RUNS = 1000  # of a thread; the API lists no more at once


@dataclass(frozen=True)
class Sight:
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


def tell_where(sight: Sight) -> Invalid:
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


async def look(client: LangGraphClient, thread_id: str) -> Sight:
    """Return what is seen while no run begins or ends: an answer must not meet a later question."""
    try:
        while True:
            sight = await _look_once(client, thread_id)
            if _name_newest(await _list_runs(client, thread_id)) == (sight.run_id, sight.run):
                return sight
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        name = type(error).__name__
        raise Invalid(f"Its server answers otherwise than LangGraph's: {name}: {error}") from error


async def _look_once(client: LangGraphClient, thread_id: str) -> Sight:
    runs = await _list_runs(client, thread_id)
    thread = cast("dict[str, Any]", await client.threads.get(thread_id))
    state = cast("dict[str, Any]", await client.threads.get_state(thread_id, subgraphs=True))
    return _read_sight(runs, thread, state)


async def _list_runs(client: LangGraphClient, thread_id: str) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", await client.runs.list(thread_id, limit=MOST_RUNS))


def _name_newest(runs: list[dict[str, Any]]) -> tuple[str, str | None]:
    """Return id and status of the newest run, if there is one."""
    if not runs:
        return "", None
    newest = max(runs, key=lambda run: str(run["created_at"]))
    return newest["run_id"], newest["status"]


def _read_sight(runs: list[dict[str, Any]], thread: dict[str, Any], state: dict[str, Any]) -> Sight:
    run_id, run_status = _name_newest(runs)
    told: dict[str, str] = {}
    for run in runs:
        told |= read_told(run.get("metadata"))
    tasks = cast("list[dict[str, Any]]", state.get("tasks") or [])
    return Sight(
        thread=thread["status"],
        run=run_status,
        run_id=run_id,
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


def tell_apart(interrupt: Interrupt[Any], told: Mapping[str, str]) -> Interrupt[Any]:
    """Return it with an id that no answer was given to yet.

    Before LangGraph 1.2.20 all questions of one task have the same.
    """
    stems = {key.rpartition(".")[0] for key in told}
    answered = [stem for stem in stems if stem.partition("~")[0] == interrupt.id]
    id_ = f"{interrupt.id}~{len(answered)}" if answered else interrupt.id
    return Interrupt(
        value=interrupt.value, id=id_, response_schema=cast(Any, interrupt.response_schema)
    )
