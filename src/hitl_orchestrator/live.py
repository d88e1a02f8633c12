"""Look at the threads of a server that runs, in its database: nothing can be written.

With the address of the database, or the folder of an embedded one, and the server's agents:

    from hitl_orchestrator.live import attach

    database = attach("postgresql://…", "my_agent.py:agent")
    database.rows("SELECT run_id, status FROM orchestrator_runs")
    database.history("a-thread")
    database.draw("a-thread")
    database.close()
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import LiteralString

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import END
from langgraph.types import StateSnapshot
from psycopg.errors import ReadOnlySqlTransaction
from psycopg.rows import DictRow, dict_row

from hitl_orchestrator.checkpoints.embedded.postgres import EmbeddedPostgres
from hitl_orchestrator.domain.state import RUN, Snapshot
from hitl_orchestrator.graph import tables
from hitl_orchestrator.graph.build import Graph, build
from hitl_orchestrator.graph.picture import Drawing, draw
from hitl_orchestrator.graph.projection import read_thread
from hitl_orchestrator.testing import read_agents

__all__ = ["Database", "ReadOnlySqlTransaction", "attach"]

READ_ONLY = "-c default_transaction_read_only=on"


class Database:
    """A server's database, to be read."""

    def __init__(
        self, connection: psycopg.Connection[DictRow], graph: Graph, opened: ExitStack
    ) -> None:
        self._connection = connection
        self._graph = graph
        self._opened = opened

    def rows(self, query: LiteralString, *values: object) -> tables.Table:
        """Return what a query finds. Raise ReadOnlySqlTransaction: it writes."""
        found = self._connection.execute(query, values)
        head = [column.name for column in found.description or ()]
        return tables.Table(head, [[*map(str, row.values())] for row in found])

    def history(self, thread_id: str) -> tables.Table:
        """Return a line for each checkpoint that is kept of the thread, the oldest first.

        A server keeps the newest of each flush, and with HITL_HISTORY=all every one.
        """
        return tables.list_supersteps(
            _list_supersteps([*self._graph.get_state_history(_name(thread_id))][::-1])
        )

    def draw(self, thread_id: str) -> Drawing:
        """Draw the graph, with the nodes marked that are next or wait; at the end, the end."""
        thread = self._graph.get_state(_name(thread_id))
        return draw(self._graph, thread.next or (END,))

    def close(self) -> None:
        self._opened.close()


def attach(where: str | Path, agents: object) -> Database:
    """Open the database of a server, by its address, or by its data folder where it is embedded.

    `agents` are those of the server: they make the graph. An embedded Postgres lives on for as long
    as somebody is attached.
    """
    with ExitStack() as stack:
        url = stack.enter_context(EmbeddedPostgres(where)) if isinstance(where, Path) else where
        connection = stack.enter_context(
            psycopg.Connection[DictRow].connect(
                url, autocommit=True, prepare_threshold=0, row_factory=dict_row, options=READ_ONLY
            )
        )
        graph = build(read_agents(agents), PostgresSaver(connection))
        return Database(connection, graph, stack.pop_all())


def _name(thread_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id}}


def _list_supersteps(threads: Sequence[StateSnapshot]) -> Iterable[tables.Line]:
    """`threads`: of one thread, the oldest first."""
    state, nodes = None, ()
    for number, thread in enumerate(threads):
        if RUN not in thread.values:
            continue
        before, state = state, Snapshot.of(thread.values)
        if thread is threads[-1]:
            state = read_thread(state, thread)  # with what those wrote that are done already
        changes = tables.compare(before or Snapshot(run=state.run), state)
        waits = [one.request for one in state.questions.values() if one.waits]
        yield number, nodes, changes, waits
        nodes = thread.next
