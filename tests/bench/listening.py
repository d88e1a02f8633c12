"""So many listeners of streams, in a process of their own.

python -m tests.bench.listening PORT COUNT PATH…

Says "listening" when all are connected, then counts what arrives until it is told to end.
"""

import asyncio
import signal
import sys

from tests.processes import API_KEY

A_CLIENT = 60  # streams that one address may hold


class Listener(asyncio.Protocol):
    """Counts the events that arrive."""

    events = 0

    def __init__(self, path: str, connected: asyncio.Semaphore) -> None:
        self._path, self._connected = path, connected

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        head = f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {API_KEY}"
        transport.write(f"{head}\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"HTTP/1.1"):
            assert b" 200 " in data.split(b"\r\n")[0], data
            self._connected.release()
        Listener.events += data.count(b"\ndata: ")


async def listen(port: int, count: int, paths: list[str]) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    connected = asyncio.Semaphore(0)
    for number in range(count):
        path, address = paths[number % len(paths)], f"127.0.1.{1 + number // A_CLIENT}"
        await loop.create_connection(
            lambda path=path: Listener(path, connected),
            "127.0.0.1",
            port,
            local_addr=(address, 0),
        )
        await connected.acquire()
    Listener.events = 0
    say("listening")
    await ended.wait()
    say(str(Listener.events))


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(listen(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
