"""What people write by hand: FastAPI over LangGraph's own Postgres saver and a table of runs.

python -m tests.bench.baseline DATABASE_URL PORT
"""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import uvicorn
from fastapi import FastAPI
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.types import Command
from psycopg.rows import dict_row
from psycopg.types.json import Json
from psycopg_pool import AsyncConnectionPool

from tests.bench.asking import build, build_silent

TABLE = """CREATE TABLE IF NOT EXISTS runs
    (id text PRIMARY KEY, status text NOT NULL, question json, result json)"""


OPTIONS: dict[str, Any] = {
    "autocommit": True,
    "row_factory": dict_row,
    "prepare_threshold": 0,
}


class Server:
    """What the routes share; opened with the app."""

    def __init__(self, pool: Any) -> None:
        self.pool, self.saver = pool, AsyncPostgresSaver(pool)
        self.graphs = {
            "asks": build().compile(checkpointer=self.saver),
            "silent": build_silent().compile(checkpointer=self.saver),
        }

    async def go_on(self, run_id: str, kind: str, given: Any) -> dict[str, Any]:
        config: Any = {"configurable": {"thread_id": run_id}}
        state = await self.graphs[kind].ainvoke(given, config)
        waits = state.pop("__interrupt__", None)
        question = waits[0].value if waits else None
        status = "waiting" if waits else "done"
        update = "UPDATE runs SET status = %s, question = %s, result = %s WHERE id = %s"
        async with self.pool.connection() as conn:
            await conn.execute(update, (status, Json(question), Json(state), run_id))
        return {"id": run_id, "status": status, "question": question, **state}


def create_app(database_url: str) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with AsyncConnectionPool(database_url, max_size=20, kwargs=OPTIONS) as pool:
            app.state.server = server = Server(pool)
            await server.saver.setup()
            async with pool.connection() as conn:
                await conn.execute(TABLE)
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/runs/{kind}")
    async def start(kind: str, body: dict[str, Any]) -> dict[str, Any]:
        run_id = uuid4().hex
        async with app.state.server.pool.connection() as conn:
            await conn.execute("INSERT INTO runs VALUES (%s, 'running')", (run_id,))
        return await app.state.server.go_on(run_id, kind, body)

    @app.post("/runs/asks/{run_id}/answer")
    async def answer(run_id: str, body: dict[str, Any]) -> dict[str, Any]:
        return await app.state.server.go_on(run_id, "asks", Command(resume=body["answer"]))

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(sys.argv[1]), port=int(sys.argv[2]), log_level="warning")
