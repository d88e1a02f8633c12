"""Tells endpoints of the queue's frames: in order, each at least once, signed.

Nothing is sent to private addresses unless it is allowed, no redirect is followed, and nothing that
a receiver says is kept but its status.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import uuid4

import httpx
from standardwebhooks import Webhook

from hitl_orchestrator.checkpoints import webhooks
from hitl_orchestrator.checkpoints.pool import Connection, connection
from hitl_orchestrator.checkpoints.store import Store
from hitl_orchestrator.checkpoints.wakeups import Wakeups
from hitl_orchestrator.domain.errors import Invalid, StoreUnavailable
from hitl_orchestrator.domain.json_values import write_json
from hitl_orchestrator.domain.outside import tell_answer
from hitl_orchestrator.domain.ports import RunRef
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.webhooks import (
    Endpoint,
    Untold,
    check_address,
    check_host,
    find_type,
    matches,
    write_notice,
)
from hitl_orchestrator.server.drivers import every

SEND_SECONDS = 10.0
LISTENER_SECONDS = 18.0  # less than a lease
SIDE_BY_SIDE = 4  # endpoints
PAUSE_SECONDS = 0.2  # what happens within that time is told of together
GONE = 410

Tell = Callable[[JsonObject], Awaitable[None]]  # of a frame; raises Untold


class Webhooks:
    """`has_any`: whether there were endpoints when that was looked at last."""

    def __init__(self, store: Store, may_be_private: bool, has_any: Callable[[], bool]) -> None:
        self._store = store
        self._may_be_private = may_be_private
        self._has_any = has_any
        self._listeners = dict[str, Tell]()
        self._is_due = False

    def expect(self) -> None:
        """Look soon: there is a new endpoint."""
        self._is_due = True

    def listen(self, name: str, tell: Tell) -> None:
        """Have that endpoint told by this function, as long as the process lives."""
        self._listeners[name] = tell
        self.expect()

    async def keep_telling(self, wakeups: Wakeups) -> None:
        """Tell for ever. What goes wrong is for the next time."""
        limits = httpx.Limits(max_connections=SIDE_BY_SIDE)
        async with httpx.AsyncClient(
            timeout=SEND_SECONDS, follow_redirects=False, trust_env=False, limits=limits
        ) as client:
            with wakeups.subscribed(None) as touched:

                async def tell_when_touched() -> None:
                    await touched.wait()
                    touched.clear()
                    if self._is_due or self._has_any():
                        self._is_due = False
                        await self.tell(client)

                await every(PAUSE_SECONDS, tell_when_touched, lambda: False)

    async def tell(self, client: httpx.AsyncClient) -> None:
        """Tell everybody what there is now. Raise StoreUnavailable."""
        await self._store.last_queue_frame()  # what is new gets its number
        await asyncio.gather(*(self._tell_some(client) for _ in range(SIDE_BY_SIDE)))

    async def _tell_some(self, client: httpx.AsyncClient) -> None:
        while True:
            token = uuid4().hex
            async with connection(self._store.pool) as conn:
                endpoint = await webhooks.claim(conn, token, self._listeners)
            if endpoint is None:
                return
            tell = self._listeners.get(endpoint.endpoint_id)
            await _Telling(self._store, client, endpoint, token, self._may_be_private, tell).work()


class _Telling:
    """An endpoint that is told, under a lease."""

    def __init__(
        self,
        store: Store,
        client: httpx.AsyncClient,
        endpoint: Endpoint,
        token: str,
        may_be_private: bool,
        tell: Tell | None,
    ) -> None:
        self._store = store
        self._client = client
        self._tell = tell
        self._endpoint = endpoint
        self._token = token
        self._may_be_private = may_be_private

    async def work(self) -> None:
        """Tell it some frames, up to one that it does not take."""
        async with connection(self._store.pool) as conn:
            frames = await webhooks.list_untold(conn, self._endpoint)
        is_over = False
        for frame, is_last in frames:
            seq = int(str(frame["seq"]))
            if not await self._tell_of(seq, frame, is_last):
                return
            async with connection(self._store.pool) as conn:
                if not await webhooks.note_told(conn, self._endpoint, self._token, seq):
                    return
            self._endpoint = self._endpoint._replace(cursor=seq, attempts=0)
            is_over = is_over or (is_last and self._endpoint.run_id is not None)
        async with connection(self._store.pool) as conn:
            await webhooks.release(conn, self._endpoint, self._token, is_over=is_over)

    async def _tell_of(self, seq: int, frame: JsonObject, is_last: bool) -> bool:
        """Return whether it was told, or is not to be; if not, note what is done about that."""
        if self._tell is None:
            notice = await self._write(frame, is_last)
            return notice is None or await self._deliver(seq, notice)
        try:
            async with asyncio.timeout(LISTENER_SECONDS):
                await self._tell(frame)
        except Untold as error:
            why = error.why
        except TimeoutError:
            why = f"no answer within {LISTENER_SECONDS:g} s"
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  # of libraries; its words may hold secrets
            why = type(error).__name__
        else:
            return True
        await self._note_failure(seq, why)
        return False

    async def _write(self, frame: JsonObject, is_last: bool) -> JsonObject | None:
        """Return what it is told of the frame; None: nothing."""
        run_id, type_ = self._endpoint.run_id, find_type(frame)
        if run_id is not None:
            return await _write_callback(self._store, run_id, frame) if is_last else None
        is_wanted = type_ is not None and matches(type_, self._endpoint.events)
        return write_notice(frame, type_) if type_ and is_wanted else None

    async def _deliver(self, seq: int, notice: JsonObject) -> bool:
        """Return whether it was taken; if not, note what is done about that."""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                status = await self._post(seq, notice)
        # UnicodeError, a ValueError: no name of a host
        except (httpx.HTTPError, httpx.InvalidURL, Invalid, OSError, ValueError) as error:
            why = error.detail if isinstance(error, Invalid) else type(error).__name__
        else:
            if httpx.codes.is_success(status):
                return True
            why = f"HTTP {status}"
            if status == GONE:
                await self._note(lambda conn: webhooks.disable(conn, *self._lease, why))
                return False
        await self._note_failure(seq, why)
        return False

    async def _note_failure(self, seq: int, why: str) -> None:
        await self._note(lambda conn: webhooks.note_failure(conn, *self._lease, seq, why))

    @property
    def _lease(self) -> tuple[Endpoint, str]:
        return self._endpoint, self._token

    async def _note(self, act: Callable[[Connection], Awaitable[None]]) -> None:
        async with connection(self._store.pool) as conn:
            await act(conn)

    async def _post(self, seq: int, notice: JsonObject) -> int:
        """Return the status of the reply. Raise what stands in the way."""
        text, id_, now = write_json(notice), f"evt_{seq}", datetime.now(UTC)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": id_,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(self._endpoint.secret).sign(id_, now, text),
        }
        url = httpx.URL(self._endpoint.url)
        check_address(str(url), may_be_private=self._may_be_private)
        extensions: dict[str, str] = {}
        if not self._may_be_private:
            # what was looked up is what is called: the name may mean another address by then
            headers["Host"], extensions = url.netloc.decode(), {"sni_hostname": url.host}
            url = url.copy_with(host=await _look_up(url.host, url.port or 443))
        # what the receiver says is not read
        async with self._client.stream(
            "POST", url, content=text.encode(), headers=headers, extensions=extensions
        ) as reply:
            return reply.status_code


async def _write_callback(store: Store, run_id: str, frame: JsonObject) -> JsonObject | None:
    """Return what the end of an outside question tells who asked it: with the answer."""
    run = await store.show(RunRef(run_id))
    if not run.requests:
        return None  # it was never asked
    request = tell_answer(await store.request(run.requests[0].requestId), run)
    shown = request.json_object()
    told = {name: shown[name] for name in ("requestId", "runId", "status", "answer", "refusal")}
    type_ = f"hitl.request.{request.status.value}"
    return {"type": type_, "timestamp": frame["at"], "data": {"seq": frame["seq"], **told}}


async def _look_up(host: str, port: int) -> str:
    """Return an address of the host. Raise Invalid where one of them is private, or OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(each[4][0]) for each in found]
    check_host(host, addresses)
    return addresses[0]
