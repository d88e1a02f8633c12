"""A proxy before Postgres that breaks what goes through it: it loses the reply to a COMMIT, cuts
before or behind it, is slow, or is half-open (takes everything and answers nothing).

It lives in the event loop of the test; whoever uses `url` may live anywhere.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from struct import pack, unpack

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_READY = b"Z\0\0\0\5"  # ReadyForQuery, before its last byte
_ENDS = (b"Q", b"S")  # of what is asked together: a query, a Sync
_CHUNK = 65536
# Two ErrorResponses, as they came when the postmaster behind PgBouncer was killed: to psycopg they
# are two results of one command.
_LAST_WORDS = (
    b"SFATAL\0C57P01\0Mterminating connection due to unexpected postmaster exit\0\0",
    b"SFATAL\0C08P01\0Mserver connection closed\0\0",
)
_GOODBYES = b"".join(b"E" + pack("!I", 4 + len(words)) + words for words in _LAST_WORDS)


class Way(StrEnum):
    """How a connection breaks at a COMMIT. Before it nothing is committed; else everything is."""

    BEFORE = "cut before it arrives"
    BEHIND = "cut behind it"
    LOST = "its reply is lost"
    TWICE = "instead of its reply both Postgres and a pooler say that the session ends"


class Break:
    """One to come: `pattern` stands in a statement of its transaction.

    Outside of a transaction it comes at that statement itself.
    """

    def __init__(self, pattern: str, way: Way) -> None:
        self.pattern, self.way = pattern, way
        self.happened = asyncio.Event()


class Proxy:
    """`url` leads through it. `delay_seconds`: what each reply takes longer."""

    def __init__(self, database_url: str) -> None:
        self._real = conninfo_to_dict(database_url)
        self._server: asyncio.Server | None = None
        self._open = set[_Line]()
        self.breaks: list[Break] = []
        self._serving = set[asyncio.Task[None]]()
        self.delay_seconds = 0.0
        self.passes = asyncio.Event()  # not set: half-open
        self.passes.set()

    async def start(self) -> str:
        """Return the address of the database behind it."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        ours = {"host": "127.0.0.1", "port": port, "sslmode": "disable", "gssencmode": "disable"}
        return make_conninfo("", **{**self._real, **ours})

    async def stop(self) -> None:
        if self._server:
            self._server.close()
        self.passes.set()
        self.cut()
        await asyncio.gather(*self._serving)

    def break_at(self, pattern: str, way: Way) -> Break:
        """Break the connection of the next transaction with such a statement at its COMMIT."""
        found = Break(pattern, way)
        self.breaks.append(found)
        return found

    def lose_reply(self, pattern: str) -> Break:
        """Let the next transaction with such a statement be committed, and nobody know."""
        return self.break_at(pattern, Way.LOST)

    def cut(self) -> None:
        """Break all connections."""
        for line in [*self._open]:
            line.cut()

    def deafen(self) -> None:
        """Let nothing more come through the connections that there are; new ones pass."""
        for line in self._open:
            line.is_deaf = True

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = str(self._real.get("host")), int(str(self._real.get("port") or 5432))
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve it in a task of our own, so that `stop` can wait for it."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = _Line(self, reader, writer)
        self._open.add(line)
        try:
            await line.live()
        finally:
            self._open.discard(line)


class _Line:
    """One connection of a client, and the one to Postgres behind it."""

    def __init__(
        self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._reader, self._writer = reader, writer
        self._back: asyncio.StreamWriter | None = None
        self._prepared: dict[bytes, str] = {}
        self._bound = ""
        self._transaction: list[str] | None = None  # the statements of the open one
        self._breaking: Break | None = None
        self.is_deaf = False

    async def live(self) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            replies, self._back = await self._proxy.connect()
            asking = asyncio.create_task(self._ask(self._back))
            answering = asyncio.create_task(self._answer(replies))
            await asyncio.wait([asking, answering], return_when=asyncio.FIRST_COMPLETED)
            for task in (asking, answering):
                task.cancel()
            await asyncio.gather(asking, answering, return_exceptions=True)
        self.cut()

    def cut(self) -> None:
        for writer in (self._writer, self._back):
            if writer:
                writer.close()

    async def _ask(self, back: asyncio.StreamWriter) -> None:
        """Pass on what the client says, message by message."""
        is_starting = True
        while True:
            kind = b"" if is_starting else await self._reader.readexactly(1)
            size = await self._reader.readexactly(4)
            body = await self._reader.readexactly(unpack("!I", size)[0] - 4)
            is_starting = False
            await self._proxy.passes.wait()
            if self.is_deaf:
                continue
            self._read(kind, body)
            if self._breaks(Way.BEFORE):
                return
            back.write(kind + size + body)
            await back.drain()
            if kind in _ENDS and self._breaks(Way.BEHIND):
                return

    def _breaks(self, way: Way) -> bool:
        if self._breaking is None or self._breaking.way != way:
            return False
        self._breaking.happened.set()
        return True

    def _read(self, kind: bytes, body: bytes) -> None:
        if kind == b"P":
            name, query = body.split(b"\0")[:2]
            self._prepared[name] = query.decode()
        elif kind == b"B":
            self._bound = self._prepared.get(body.split(b"\0")[1], "")
        elif kind == b"E":
            self._note(self._bound)
        elif kind == b"Q":
            self._note(body.rstrip(b"\0").decode())

    def _note(self, statement: str) -> None:
        if statement.startswith("BEGIN"):
            self._transaction = []
        elif self._transaction is None:
            self._breaking = self._breaking or self._find_break([statement])
        elif statement.startswith("COMMIT"):
            self._breaking = self._breaking or self._find_break(self._transaction)
            self._transaction = None
        elif statement.startswith("ROLLBACK") and " TO " not in statement:
            self._transaction = None
        else:
            self._transaction.append(statement)

    def _find_break(self, statements: list[str]) -> Break | None:
        for found in self._proxy.breaks:
            if any(found.pattern in statement for statement in statements):
                self._proxy.breaks.remove(found)
                return found
        return None

    async def _answer(self, replies: asyncio.StreamReader) -> None:
        while chunk := await replies.read(_CHUNK):
            if self._breaking:
                is_done = chunk[-6:-1] == _READY
                if is_done and self._breaks(Way.TWICE):
                    self._writer.write(_GOODBYES)
                    return
                if is_done and self._breaks(Way.LOST):
                    return
                continue
            if self._proxy.delay_seconds:
                await asyncio.sleep(self._proxy.delay_seconds)
            await self._proxy.passes.wait()
            if self.is_deaf:
                continue
            self._writer.write(chunk)
            await self._writer.drain()


@asynccontextmanager
async def proxied(database_url: str) -> AsyncGenerator[tuple[Proxy, str]]:
    """Give a proxy before the database, and the address that leads through it."""
    proxy = Proxy(database_url)
    url = await proxy.start()
    try:
        yield proxy, url
    finally:
        await proxy.stop()
