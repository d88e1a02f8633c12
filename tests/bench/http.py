"""A client that costs little, so that the servers are what is measured: HTTP/1.1, kept alive."""

import asyncio
import json
from typing import Any, Self

Json = dict[str, Any]


class Client:
    """One connection; one call at a time. Opened by `async with`."""

    def __init__(self, port: int, key: str = "") -> None:
        self._port = port
        self._head = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def post(self, path: str, body: Json) -> Json:
        return json.loads(await self._call("POST", path, json.dumps(body).encode()))

    async def get(self, path: str) -> Json:
        return json.loads(await self.read(path))

    async def read(self, path: str) -> bytes:
        return await self._call("GET", path, b"")

    async def _call(self, method: str, path: str, body: bytes) -> bytes:
        """Return the body of the reply. Raise RuntimeError: it was no success."""
        about = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\n{self._head}{about}\r\n"
        self._writer.write(head.encode() + body)
        headers = await self._reader.readuntil(b"\r\n\r\n")
        status, *lines = headers.decode().lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines if line)
        found = await self._reader.readexactly(int(fields["content-length"]))
        if status.split(" ")[1][0] != "2":
            raise RuntimeError(f"{method} {path}: {status} {found[:500]!r}")
        return found
