"""What agents say while they work: by LangGraph's `get_stream_writer()`, and their models' tokens.

Of each step the newest is kept until somebody takes it, so nobody waits and nothing piles up. What
cannot be told is left out: no step fails by it.
"""

import asyncio
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.pregel.protocol import StreamProtocol
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore

from hitl_orchestrator.domain.context_variables import Having
from hitl_orchestrator.domain.events import Event, EventKind
from hitl_orchestrator.domain.json_values import write_json
from hitl_orchestrator.domain.records import Json
from hitl_orchestrator.nodes.plain import make_plain

MAX_TEXT, MAX_JSON_BYTES, MAX_LINE = 2_000, 4_096, 200
# Where LangGraph looks for the writer, and for whom it streams to, of who calls a graph: internal
# names. Where they mean something else nothing is heard, and tests/api/test_progress.py fails.
RUNTIME, STREAM = "__pregel_runtime", "__pregel_stream"
NAMES = ("message", "text", "status")  # of what a mapping says in words

Teller = tuple[str, str]  # a step and its agent


class Lines:
    """What the steps of a run say, in the event loop that drives it."""

    def __init__(self) -> None:
        self._unread: dict[Teller, dict[str, object]] = {}
        self._written: dict[Teller, str] = {}  # by its model, the end of it
        self.came = asyncio.Event()

    def say(self, step_id: str, agent: str, value: object) -> None:
        """Have that told of the step, instead of what it said before and was not taken yet."""
        self._find(step_id, agent)["progress"] = value

    def add_tokens(self, step_id: str, agent: str, text: str) -> None:
        """Have that told behind what its model wrote before; of too much the end."""
        if text:
            said = self._find(step_id, agent)
            said["tokens"] = f"{said.get('tokens', '')}{text}"[-MAX_TEXT:]
            before = self._written.get((step_id, agent), "")
            self._written[step_id, agent] = f"{before}{text}"[-MAX_LINE:]

    def take(self) -> list[Event]:
        """Return, once, what there is: an event a step."""
        unread, self._unread = self._unread, {}
        self.came.clear()
        told = [self._tell(teller, said) for teller, said in unread.items()]
        return [event for event in told if event]

    def _find(self, step_id: str, agent: str) -> dict[str, object]:
        self.came.set()
        return self._unread.setdefault((step_id, agent), {})

    def _tell(self, teller: Teller, said: Mapping[str, object]) -> Event | None:
        step_id, agent = teller
        found: dict[str, Json] = {}
        for name, value in said.items():
            try:
                found[name] = cut(value)
            except Exception:  # noqa: BLE001, S112  # foreign values may raise anything
                continue
        if not found:
            return None
        is_tokens = "progress" not in found
        return Event(
            kind=EventKind.STEP_PROGRESSED,
            message=write_line(self._written[teller] if is_tokens else found["progress"]),
            data={"from": agent, "stepId": step_id, **found},
            stepId=step_id,
            originAgent=agent,
        )


def cut(value: object) -> Json:
    """Return it as JSON that is not too large: of a larger one its beginning, as a text.

    Raise Invalid, or whatever the value itself raises.
    """
    plain = make_plain("A line", value[:MAX_TEXT] if isinstance(value, str) else value)
    if isinstance(plain, str):
        return plain[:MAX_TEXT]
    text = write_json(plain)
    return plain if len(text.encode()) <= MAX_JSON_BYTES else text[:MAX_TEXT]


def write_line(value: Json) -> str:
    """Return in one line what it says to a person: of several the last one."""
    if isinstance(value, dict):
        words = [cast("dict[str, Any]", value).get(name) for name in NAMES]
        value = next((word for word in words if isinstance(word, str) and word.strip()), value)
    text = value if isinstance(value, str) else write_json(value)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:MAX_LINE] if lines else ""


_current: ContextVar[Lines | None] = ContextVar("lines", default=None)


def find_lines() -> Lines | None:
    """Return what hears the agents that work here; None: nobody listens."""
    return _current.get()


def hearing(lines: Lines) -> AbstractContextManager[None]:
    """Let it hear what agents say inside."""
    return Having(_current, lines)


@contextmanager
def giving_writer(
    config: RunnableConfig, store: BaseStore | None, lines: Lines, teller: Teller
) -> Generator[RunnableConfig]:
    """Give the config for a call whose nodes, however deep and in whichever thread, say it there.

    `store`: of the graph that is called, which takes it from where it finds the writer.
    LangGraph's own writer looks for the config where it is called, and raises in threads of the
    agent's own; its stream would be another task beside each superstep.
    """
    loop, is_over = asyncio.get_running_loop(), False

    def say(value: object) -> None:
        if not is_over:
            lines.say(*teller, value)

    def write(value: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            loop.call_soon_threadsafe(say, value)

    # what a graph elsewhere says, which is a node of this one, comes as a part of a stream
    stream = StreamProtocol(lambda part: write(part[-1]), {"custom"})
    ours = {RUNTIME: Runtime(stream_writer=write, store=store), STREAM: stream}
    try:
        yield {**config, "configurable": {**config.get("configurable", {}), **ours}}
    finally:
        is_over = True
