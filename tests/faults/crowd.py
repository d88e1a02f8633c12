"""Many runs at once, driven by clients that never give up, while something dies; and what must be
true afterwards.
"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import httpx

from tests.agents.counting import log_lines
from tests.processes import API_KEY

AGENTS = ("counting.py:left", "counting.py:right", "counting.py:joined")
PATIENCE_SECONDS = 120.0
HELD = "urn:hitl:held"
ENDED = ("completed", "failed", "cancelled")
_CALL_SECONDS = 10.0
_RETRY_SECONDS = 0.05
_HELD_RETRY_SECONDS = 0.5

Json = dict[str, Any]


class Verdict(NamedTuple):
    """What came of it. `repeated`: how often a node worked again because its process died before
    what it had done was durable. `errands`: runs without questions that ended as they should.
    `surprises`: what was said to clients that should not have been.
    """

    runs: int
    answers: int
    errands: int
    repeated: int
    lost: list[str]
    twice: list[str]
    unfinished: list[str]
    surprises: list[str]

    @property
    def is_well(self) -> bool:
        return not (self.lost or self.twice or self.unfinished or self.surprises)


@dataclass
class Errand:
    """A run that asks nothing, and what must have come of it."""

    run_id: str
    status: str
    end: Json | None = None

    @property
    def ended_rightly(self) -> bool:
        return self.end is not None and self.end["status"] == self.status


@dataclass
class Crowd:
    """Each call goes to any of the servers. An address may change owner: a server that dies is
    followed by another.
    """

    servers: Sequence[str]
    answered_at: Sequence[str] = ()  # others, for the answers
    runs: dict[str, dict[str, str]] = field(
        default_factory=dict[str, dict[str, str]]
    )  # run -> request -> the answer it was given
    ended: list[Json] = field(default_factory=list[Json])
    errands: list[Errand] = field(default_factory=list[Errand])
    surprises: list[str] = field(default_factory=list[str])
    refused: int = 0  # with 503
    held: int = 0  # refused since no agent that fits was plugged in
    _sent: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    @asynccontextmanager
    async def living(
        self, clients: int, patience_seconds: float = PATIENCE_SECONDS
    ) -> AsyncGenerator[None]:
        """Meanwhile each client starts one run after another and answers what it asks; afterwards
        all are brought to their end. What does not end in time is in the verdict.
        """
        enough = asyncio.Event()

        async def live(client: httpx.AsyncClient) -> None:
            while not enough.is_set():
                with self._noting_surprises():
                    await self._one(client)

        async with self._client() as client:
            tasks = [asyncio.create_task(live(client)) for _ in range(clients)]
            try:
                yield
                enough.set()
                _, waiting = await asyncio.wait([*tasks, *self._sent], timeout=patience_seconds)
                self.surprises += ["a client still waits"] * len(waiting)
            finally:
                for task in [*tasks, *self._sent]:
                    task.cancel()

    @contextmanager
    def _noting_surprises(self) -> Generator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001  # the client goes on, the verdict tells
            self.surprises.append(repr(error))

    def send(self, output: str, inputs: Json, status: str) -> None:
        """Start a run that asks nothing; it must end with that status."""
        task = asyncio.create_task(self._run_errand(output, inputs, status))
        self._sent.add(task)
        task.add_done_callback(self._sent.discard)

    async def _run_errand(self, output: str, inputs: Json, status: str) -> None:
        with self._noting_surprises():
            async with self._client() as client:
                body = {"objective": "Live", "inputs": inputs, "outputs": [output]}
                run = await self._post(client, self.servers, "/api/runs", body)
                errand = Errand(run["runId"], status)
                self.errands.append(errand)
                while run["status"] not in ENDED:
                    run = await self._get(client, f"/api/runs/{errand.run_id}?wait=2")
                errand.end = run

    async def live(self, number: int) -> None:
        """That many runs at once, to their end."""
        async with self._client() as client, asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*(self._one(client) for _ in range(number)))

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            headers={"Authorization": f"Bearer {API_KEY}"}, timeout=_CALL_SECONDS
        )

    async def _one(self, client: httpx.AsyncClient) -> None:
        run = await self._post(
            client, self.servers, "/api/runs", {"objective": "Count", "outputs": ["joined"]}
        )
        answers = self.runs.setdefault(run["runId"], {})
        while run["status"] not in ENDED:
            for request in run["requests"]:
                if request["status"] == "pending" and request["requestId"] not in answers:
                    await self._answer(client, run["runId"], request["requestId"], answers)
            run = await self._get(client, f"/api/runs/{run['runId']}?wait=2")
        self.ended.append(run)

    async def _answer(
        self, client: httpx.AsyncClient, run_id: str, request_id: str, answers: dict[str, str]
    ) -> None:
        await asyncio.sleep(random.random() * 0.2)  # noqa: S311
        answers[request_id] = f"a{uuid4().hex[:12]}"
        response = {
            "requestId": request_id,
            "freeformText": answers[request_id],
            "responderId": "tester",
        }
        body = {"runId": run_id, "requestId": request_id, "responses": [response]}
        await self._post(client, self.answered_at or self.servers, "/api/hitl/resume", body)

    async def _get(self, client: httpx.AsyncClient, path: str) -> Json:
        response = await self._patiently(self.servers, lambda server: client.get(f"{server}{path}"))
        return _read(response)

    async def _post(
        self, client: httpx.AsyncClient, servers: Sequence[str], path: str, body: Json
    ) -> Json:
        """Call until it is taken. What was refused is another call: the key keeps its answer."""
        while True:
            key = {"Idempotency-Key": uuid4().hex}
            response = await self._patiently(
                servers,
                lambda server, key=key: client.post(f"{server}{path}", json=body, headers=key),
            )
            if not _is_held(response):
                return _read(response)
            self.held += 1
            await asyncio.sleep(_HELD_RETRY_SECONDS)

    async def _patiently(
        self, servers: Sequence[str], call: Callable[[str], Awaitable[httpx.Response]]
    ) -> httpx.Response:
        while True:
            try:
                response = await call(random.choice(servers))  # noqa: S311
            except httpx.TransportError:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if response.status_code != 503:
                return response
            assert int(response.headers["Retry-After"]) > 0
            self.refused += 1
            await asyncio.sleep(_RETRY_SECONDS)

    def check(self, log: Path) -> Verdict:
        """Every run ended rightly, every answer was applied once and to its question."""
        verdict = self.verdict(log)
        assert verdict.is_well, verdict
        return verdict

    def verdict(self, log: Path) -> Verdict:
        """`log`: what the agents noted."""
        work = Counter(log_lines(log))
        applied = defaultdict[str, set[str]](set)  # answer -> the steps that worked with it
        for line in work:
            run_and_step, _, answer = line.rpartition(" applied ")
            applied[answer].add(run_and_step)
        lost, twice = list[str](), list[str]()
        for run in self.ended:
            done = Counter(
                (entry["action"], entry["requestId"]) for entry in run["metadata"]["auditLog"]
            )
            for request in run["requests"]:
                name = request["requestId"]
                answer = self.runs[run["runId"]].get(name, "")
                texts = [response["freeformText"] for response in request["responses"]]
                counts = [
                    done["resume", name],
                    done["deliver", name],
                    texts.count(answer),
                    len(applied[answer]),
                ]
                lost += [name] if min(counts) < 1 else []
                twice += [name] if max(counts) > 1 or len(texts) > 1 else []
        return Verdict(
            runs=len(self.runs),
            answers=sum(len(answers) for answers in self.runs.values()),
            errands=sum(errand.ended_rightly for errand in self.errands),
            repeated=sum(times - 1 for times in work.values()),
            lost=lost,
            twice=twice,
            unfinished=self._list_unfinished(),
            surprises=self.surprises,
        )

    def _list_unfinished(self) -> list[str]:
        rightly = {run["runId"] for run in self.ended if self._ended_rightly(run)}
        errands = [errand.run_id for errand in self.errands if not errand.ended_rightly]
        return [*(self.runs.keys() - rightly), *errands]

    def _ended_rightly(self, run: Json) -> bool:
        given = self.runs[run["runId"]]
        by_agent = {
            request["originAgent"].removeprefix("count."): given.get(request["requestId"])
            for request in run["requests"]
        }
        wanted = " ".join(str(by_agent.get(name)) for name in ("left", "right", "joined"))
        return (
            run["status"] == "completed"
            and run["result"]["outputs"]["joined"] == wanted
            and len(run["requests"]) == len(given) == 3
        )


def _read(response: httpx.Response) -> Json:
    """Return the run."""
    assert response.is_success, f"{response.request.url}: {response.text}"
    found = response.json()
    return found.get("run", found)


def _is_held(response: httpx.Response) -> bool:
    return response.status_code == 409 and response.json().get("type") == HELD
