"""Our own API from outside, over HTTP, as the client commands use it."""

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, cast
from urllib.parse import quote
from uuid import uuid4

from hitl_orchestrator.server.terminal.decisions import describe_decision
from hitl_orchestrator.server.terminal.discovery import Server, is_local
from hitl_orchestrator.server.terminal.errors import (
    AlreadyDecided,
    BadInput,
    ClientError,
    NoAnswer,
    RefusedByServer,
    UnknownToServer,
)
from hitl_orchestrator.server.terminal.retrying import RetryTime
from hitl_orchestrator.server.terminal.transport import EventSource, connect_sse, httpx
from hitl_orchestrator.server.terminal.wire import (
    LAST_FRAMES,
    CapabilitiesJson,
    CountsJson,
    FrameJson,
    JsonObject,
    QueueJson,
    RequestJson,
    RequestsJson,
    ResumedJson,
    RunJson,
    RunsJson,
)

ONE_RETRY = 0.3  # seconds of patience
CALL_SECONDS = 30.0
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 45.0  # a stream sends a comment every 15 s
LONGEST_ID = 1000
NOT_PENDING = "urn:hitl:request-not-pending"


class Api:
    """The calls, each of which may be repeated: a POST carries an Idempotency-Key.

    `patience_seconds`: how long a call or a stream is tried again while there is no connection or
    no database. Every method raises ClientError.
    """

    def __init__(
        self,
        server: Server,
        patience_seconds: float = ONE_RETRY,
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        self.url = server.url
        self.patience_seconds = patience_seconds
        self._http = httpx.Client(
            base_url=server.url,
            headers={"Authorization": f"Bearer {server.key}"},
            timeout=httpx.Timeout(call_seconds, connect=min(call_seconds, CONNECT_SECONDS)),
            verify=server.url.startswith("https:"),  # loading the certificates takes 0.1 s
            trust_env=not is_local(server.url),  # no proxy to this machine
        )

    def close(self) -> None:
        self._http.close()

    def start(self, body: JsonObject) -> RunJson:
        return self._call("POST", "/api/runs", body)

    def run(self, run_id: str, wait_seconds: float | None = None) -> RunJson:
        """Return the run; with `wait_seconds`, once it has stopped running, or after that long."""
        return self._call("GET", _run_path(run_id), wait=wait_seconds)

    def newest_run(self, thread_id: str) -> RunJson:
        found: RunsJson = self._call("GET", "/api/runs", threadId=thread_id, limit=1)
        if not found["runs"]:
            detail = f"There is no run, question or thread {thread_id}."
            raise UnknownToServer(404, {"detail": detail})
        return found["runs"][0]

    def runs(
        self, status: str | None, thread_id: str | None, limit: int, cursor: str | None
    ) -> RunsJson:
        """Return a page of runs, the newest first."""
        return self._call(
            "GET", "/api/runs", status=status, threadId=thread_id, limit=limit, cursor=cursor,
            history="false",
        )  # fmt: skip

    def run_ids(self, prefix: str, limit: int) -> list[str]:
        """Return ids of runs that begin so, so many at most."""
        found: RunsJson = self._call(
            "GET", "/api/runs", prefix=prefix or None, limit=limit, history="false"
        )
        return [run["runId"] for run in found["runs"]]

    def capabilities(self) -> CapabilitiesJson:
        return self._call("GET", "/api/capabilities")

    def cancel(self, run_id: str, body: JsonObject) -> RunJson:
        return self._call("POST", f"{_run_path(run_id)}/cancel", body)

    def retry(self, run_id: str, body: JsonObject) -> RunJson:
        return self._call("POST", f"{_run_path(run_id)}/retry", body)

    def pending(
        self,
        agent: str | None = None,
        urgency: str | None = None,
        thread_id: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> QueueJson:
        """Return a page of paused runs, the most urgent first, then the oldest."""
        return self._call(
            "GET", "/api/hitl/pending", agent=agent, urgency=urgency, threadId=thread_id,
            limit=limit, cursor=cursor,
        )  # fmt: skip

    def count_pending(self) -> CountsJson:
        return self._call("GET", "/api/hitl/requests/counts")

    def count_held(self) -> int:
        """Return how many runs wait for agents that are not plugged in."""
        return self._call("GET", "/readyz").get("heldRuns", 0)

    def request(self, request_id: str) -> RequestJson:
        return self._call("GET", f"/api/hitl/requests/{_encode_id(request_id)}")

    def request_ids(self, prefix: str, limit: int, status: str | None = None) -> list[str]:
        """Return ids of questions that begin so, so many at most."""
        found: RequestsJson = self._call(
            "GET", "/api/hitl/requests", prefix=prefix or None, limit=limit, status=status
        )
        return [request["requestId"] for request in found["requests"]]

    def resume(
        self,
        request: RequestJson,
        response: JsonObject,
        operator: str | None,
        note: str | None = None,
    ) -> ResumedJson:
        """Answer the question; `response` needs no requestId."""
        responses = [{"requestId": request["requestId"], **response}]
        body = {**_name_request(request), "responses": responses, **sign(operator, note)}
        return self._decide("resume", request, body)

    def deny(self, request: RequestJson, body: JsonObject) -> ResumedJson:
        return self._decide("deny", request, {**_name_request(request), **body})

    def remove(self, request: RequestJson, body: JsonObject) -> ResumedJson:
        return self._decide("remove", request, {**_name_request(request), **body})

    def _decide(self, act: str, request: RequestJson, body: JsonObject) -> ResumedJson:
        """Make the call. Raises AlreadyDecided, which says who was first and what they said."""
        try:
            return self._call("POST", f"/api/hitl/{act}", body)
        except RefusedByServer as error:
            if error.problem.get("type") != NOT_PENDING:
                raise
            raise AlreadyDecided(error, self._describe_decision(request)) from error

    def _describe_decision(self, request: RequestJson) -> str:
        """Return who decided what; empty if that cannot be looked up."""
        with suppress(ClientError):
            decided = self.request(request["requestId"])
            return describe_decision(decided, self.run(request["runId"]))
        return ""

    def frames(self, run_id: str) -> Iterator[FrameJson]:
        """Yield a run's frames from the first to the last, each once, across lost connections.

        A frame that ends a run is the last unless the run was retried: then others follow it.
        """
        patience, headers = RetryTime(self.patience_seconds), dict[str, str]()
        has_ended = False
        while True:
            try:
                with self._open_stream(run_id, headers) as stream:
                    patience = RetryTime(self.patience_seconds)
                    for event in stream.iter_sse():
                        frame: FrameJson = event.json()
                        headers["Last-Event-ID"] = event.id
                        has_ended = frame["type"] in LAST_FRAMES
                        yield frame
                if has_ended:
                    return
                failure = NoAnswer(f"The server at {self.url} closed the stream of {run_id}.")
            except (httpx.RequestError, ValueError, _Unavailable) as error:
                if has_ended:
                    return
                failure = self._explain(error)
            patience.wait(failure)

    @contextmanager
    def _open_stream(self, run_id: str, headers: Mapping[str, str]) -> Generator[EventSource]:
        timeout = httpx.Timeout(CALL_SECONDS, connect=CONNECT_SECONDS, read=SILENCE_SECONDS)
        path = f"{_run_path(run_id)}/events"
        with connect_sse(self._http, "GET", path, headers=headers, timeout=timeout) as stream:
            _check(stream.response)
            yield stream

    def _call(
        self, method: str, path: str, body: JsonObject | None = None, **params: str | float | None
    ) -> Any:
        """Return the JSON of the server's answer; the caller names its type."""
        patience = RetryTime(self.patience_seconds)
        request = self._http.build_request(
            method,
            path,
            params=_encode_params(params),
            headers=_make_headers(method),
            # ASCII: a lone surrogate is the server's to refuse
            content=None if body is None else json.dumps(body).encode(),
        )
        while True:
            try:
                response = self._http.send(request)
                _check(response)
                return response.json()
            except (httpx.RequestError, ValueError, _Unavailable) as error:
                patience.wait(self._explain(error))

    def _explain(self, error: Exception) -> ClientError:
        if isinstance(error, _Unavailable):
            return error.refused
        if isinstance(error, httpx.RequestError):
            why = str(error) or type(error).__name__
            return NoAnswer(f"The server at {self.url} does not answer ({why}). Is it running?")
        return NoAnswer(
            f"What answers at {self.url} is not a HITL Orchestrator. Is the address right?"
        )


def sign(operator: str | None, note: str | None) -> JsonObject:
    """Return who acts and what they note, as every call of an operator takes it."""
    signature: JsonObject = {}
    if operator:
        signature["operator"] = {"id": operator}
    if note is not None:
        signature["note"] = note
    return signature


class _Unavailable(Exception):
    """503: worth another try."""

    def __init__(self, refused: RefusedByServer) -> None:
        super().__init__()
        self.refused = refused


def _check(response: httpx.Response) -> None:
    """Raise the error that an unsuccessful response is; ValueError if it is not our server's."""
    if response.is_success:
        return
    problem = json.loads(response.read())
    if not isinstance(problem, dict):
        raise ValueError(problem)
    _refuse(response.status_code, cast(JsonObject, problem))


def _refuse(status: int, problem: JsonObject) -> NoReturn:
    if status == 404:
        raise UnknownToServer(status, problem)
    refused = RefusedByServer(status, problem)
    if status == 503:
        raise _Unavailable(refused)
    raise refused


def _make_headers(method: str) -> dict[str, str]:
    if method != "POST":
        return {}
    return {"Content-Type": "application/json", "Idempotency-Key": str(uuid4())}


def _encode_params(params: Mapping[str, str | float | None]) -> dict[str, str]:
    """Return those that are given; a lone surrogate becomes a question mark."""
    return {
        name: str(value).encode(errors="replace").decode()
        for name, value in params.items()
        if value is not None
    }


def _name_request(request: RequestJson) -> JsonObject:
    return {"runId": request["runId"], "requestId": request["requestId"]}


def _run_path(run_id: str) -> str:
    return f"/api/runs/{_encode_id(run_id)}"


def _encode_id(text: str) -> str:
    """Return the id as one segment of a path."""
    if len(text) > LONGEST_ID:
        raise BadInput("An id cannot be that long.")
    return quote(text, safe="", errors="replace")
