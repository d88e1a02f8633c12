"""Our own API from outside, as the client commands use it.

ClientError                 one line for a person; `exit_code` is the command's
├── BadInput                a file or a setting that cannot be used: wrong usage
├── NoServer                nothing says where a server is
├── Unreachable             no answer, or none of ours
└── Refused                 the server said no
    └── NotFound            there is no such thing
"""

import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple, TypedDict, cast
from urllib.parse import quote
from uuid import uuid4

# httpx imports its own command line if it can, and that takes half of the 0.6 s in which `hitl
# pending` would start.
sys.modules.setdefault("httpx._main", cast(ModuleType, None))

import httpx  # noqa: E402
from httpx_sse import connect_sse  # noqa: E402

Json = Any  # as the server sent it, or as the person gave it
JsonObject = dict[str, Any]

RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.25, 2.0
ONE_RETRY = 0.3  # seconds of patience
CALL_SECONDS = 30.0
SILENCE_SECONDS = 45.0  # a stream sends a comment every 15 s
DATA_DIR, DATA_DIR_OF_ROOT = (
    Path(".data"),
    Path("/var/lib/hitl-orchestrator"),
)  # checkpoints/embedded.py would bring psycopg
LONGEST_ID = 1000
# Control characters except tab and newline, those that reverse the direction of what follows, and
# lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
LOCAL = {"127.0.0.1", "::1", "localhost"}


class ClientError(Exception):
    exit_code = 1

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class BadInput(ClientError):
    exit_code = 2


class NoServer(ClientError):
    pass


class Unreachable(ClientError):
    pass


class Refused(ClientError):
    """`status` is HTTP's, `problem` the body."""

    def __init__(self, status: int, problem: JsonObject) -> None:
        super().__init__(
            str(problem.get("detail") or problem.get("title") or f"The server answered {status}.")
        )
        self.status = status
        self.problem = problem


class NotFound(Refused):
    pass


# The API's JSON as far as a terminal shows it. Not the domain's records: pydantic would double the
# time that `hitl pending` takes to start, and those refuse the fields that a newer server may have.


class Option(TypedDict):
    id: str
    label: str
    description: str | None


class Action(TypedDict):
    name: str
    arguments: JsonObject
    allowedDecisions: list[str]


class FacetNames(TypedDict):
    input: list[str]
    output: list[str]


class ContractSummary(TypedDict):
    capabilityId: str
    facets: FacetNames


class Request(TypedDict):
    requestId: str
    runId: str
    originAgent: str
    status: Literal["pending", "resolved", "denied"]
    kind: Literal["approval", "choice", "freeform", "form"]
    question: str
    options: list[Option]
    allowFreeForm: bool
    urgency: Literal["low", "normal", "high"]
    additionalContext: str | None
    action: Action | None
    responseSchema: JsonObject | None
    operatorPrompt: str
    contractSummary: ContractSummary
    denialReason: str | None
    createdAt: str | None
    expiresAt: str | None
    responses: list[JsonObject]


class Step(TypedDict):
    capabilityId: str
    label: str
    status: Literal[
        "pending", "running", "awaiting_hitl", "completed", "denied", "failed", "skipped"
    ]
    reason: str | None


class Plan(TypedDict):
    version: int
    steps: list[Step]


class NotDone(TypedDict):
    capabilityId: str
    reason: str


class Result(TypedDict):
    outputs: JsonObject
    notDone: list[NotDone]


class Run(TypedDict):
    runId: str
    threadId: str
    status: Literal["queued", "running", "awaiting_hitl", "completed", "failed", "cancelled"]
    objective: str
    plan: Plan | None
    pendingRequestId: str | None
    requests: list[Request]
    result: Result | None
    error: JsonObject | None
    metadata: JsonObject


class PausedRun(TypedDict):
    pendingRequests: list[Request]


class Queue(TypedDict):
    runs: list[PausedRun]
    nextCursor: str | None


class Frame(TypedDict):
    type: Literal[
        "start",
        "phase",
        "plan_update",
        "handoff",
        "message",
        "warning",
        "metrics",
        "error",
        "complete",
    ]
    at: str
    message: str
    data: JsonObject


LAST_FRAMES = {"complete", "error"}
ENDED = {"completed", "failed", "cancelled"}


def pending(run: Run) -> list[Request]:
    return [request for request in run["requests"] if request["status"] == "pending"]


def option_id(options: list[Option], text: str) -> str | None:
    """Of the option that has this id, else of the only one that has this label, in whatever
    case.
    """
    if text in [option["id"] for option in options]:
        return text
    labelled = [
        option["id"] for option in options if option["label"].casefold() == text.strip().casefold()
    ]
    return labelled[0] if len(labelled) == 1 else None


class Server(NamedTuple):
    url: str
    key: str


class Api:
    """`patience_seconds`: how long a call or a stream is tried again when there is no connection or
    no database. Every call can be repeated: a POST carries an Idempotency-Key."""

    def __init__(self, server: Server, patience_seconds: float = ONE_RETRY) -> None:
        self.url = server.url
        self.patience_seconds = patience_seconds
        self._http = httpx.Client(
            base_url=server.url,
            headers={"Authorization": f"Bearer {server.key}"},
            timeout=httpx.Timeout(CALL_SECONDS, connect=5),
            verify=server.url.startswith("https:"),  # loading the certificates takes 0.1 s
            trust_env=not _is_local(server.url),  # no proxy to this machine
        )

    def close(self) -> None:
        self._http.close()

    def start(self, body: JsonObject) -> Run:
        return self._call("POST", "/api/runs", body)

    def run(self, run_id: str, wait_seconds: float | None = None) -> Run:
        return self._call("GET", f"/api/runs/{_segment(run_id)}", wait=wait_seconds)

    def newest_run(self, thread_id: str) -> Run:
        runs: list[Run] = self._call("GET", "/api/runs", threadId=thread_id, limit=1)["runs"]
        if not runs:
            raise NotFound(404, {"detail": f"There is no run, question or thread {thread_id}."})
        return runs[0]

    def cancel(self, run_id: str, body: JsonObject) -> Run:
        return self._call("POST", f"/api/runs/{_segment(run_id)}/cancel", body)

    def pending(
        self, agent: str | None = None, urgency: str | None = None, thread_id: str | None = None
    ) -> Queue:
        return self._call(
            "GET", "/api/hitl/pending", agent=agent, urgency=urgency, threadId=thread_id
        )

    def request(self, request_id: str) -> Request:
        return self._call("GET", f"/api/hitl/requests/{_segment(request_id)}")

    def resume(
        self, request: Request, response: JsonObject, operator: str | None, note: str | None = None
    ) -> JsonObject:
        response = {"requestId": request["requestId"], **response}
        return self._call(
            "POST",
            "/api/hitl/resume",
            {**_named(request), "responses": [response], **by(operator, note)},
        )

    def remove(self, request: Request, body: JsonObject) -> JsonObject:
        return self._call("POST", "/api/hitl/remove", {**_named(request), **body})

    def frames(self, run_id: str) -> Iterator[Frame]:
        """Those of one run from its start to its last, each once, across lost connections."""
        patience, headers = _Patience(self.patience_seconds), dict[str, str]()
        timeout = httpx.Timeout(CALL_SECONDS, connect=5, read=SILENCE_SECONDS)
        while True:
            try:
                with connect_sse(
                    self._http,
                    "GET",
                    f"/api/runs/{_segment(run_id)}/events",
                    headers=headers,
                    timeout=timeout,
                ) as source:
                    _check(source.response)
                    patience = _Patience(self.patience_seconds)
                    for event in source.iter_sse():
                        frame: Frame = event.json()
                        yield frame
                        if frame["type"] in LAST_FRAMES:
                            return
                        headers["Last-Event-ID"] = event.id
                failure = Unreachable(f"The server at {self.url} closed the stream of {run_id}.")
            except (httpx.RequestError, ValueError, _Unavailable) as error:
                failure = self._unreachable(error)
            patience.wait(failure)

    def _call(
        self, method: str, path: str, body: JsonObject | None = None, **params: str | float | None
    ) -> Any:
        patience, headers = _Patience(self.patience_seconds), dict[str, str]()
        if method == "POST":
            headers |= {"Content-Type": "application/json", "Idempotency-Key": str(uuid4())}
        content = (
            None if body is None else json.dumps(body).encode()
        )  # ASCII: a lone surrogate is the server's to refuse
        given = {
            name: str(value).encode(errors="replace").decode()
            for name, value in params.items()
            if value is not None
        }
        while True:
            try:
                response = self._http.request(
                    method, path, params=given, headers=headers, content=content
                )
                _check(response)
                return response.json()
            except (httpx.RequestError, ValueError, _Unavailable) as error:
                patience.wait(self._unreachable(error))

    def _unreachable(self, error: Exception) -> ClientError:
        if isinstance(error, _Unavailable):
            return error.refused
        if isinstance(error, httpx.RequestError):
            return Unreachable(
                f"The server at {self.url} does not answer ({str(error) or type(error).__name__}). Is it running?"
            )
        return Unreachable(
            f"What answers at {self.url} is not this program's server. Is the address right?"
        )


def _named(request: Request) -> JsonObject:
    return {"runId": request["runId"], "requestId": request["requestId"]}


def clean(text: str) -> str:
    """What others wrote, without what could steer a terminal."""
    return _UNSAFE.sub("", text)


def by(operator: str | None, note: str | None) -> JsonObject:
    """Who does it and what they note, as every call of an operator takes it."""
    return ({"operator": {"id": operator}} if operator else {}) | (
        {"note": note} if note is not None else {}
    )


class _Unavailable(Exception):
    """503: worth another try."""

    def __init__(self, refused: Refused) -> None:
        super().__init__()
        self.refused = refused


class _Patience:
    """With one spell of failures. `wait` sleeps before the next try, or raises the failure when the
    spell has been too long.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._pause = RETRY_SECONDS
        self._until: float | None = None

    def wait(self, failure: ClientError) -> None:
        now = time.monotonic()
        self._until = self._until or now + self._seconds
        if now + self._pause > self._until:
            raise failure
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, LONGEST_RETRY_SECONDS)


def _check(response: httpx.Response) -> None:
    if response.is_success:
        return
    problem = json.loads(response.read())
    if not isinstance(problem, dict):
        raise ValueError(problem)
    refused = (NotFound if response.status_code == 404 else Refused)(
        response.status_code, cast(JsonObject, problem)
    )
    raise _Unavailable(refused) if response.status_code == 503 else refused


def _segment(text: str) -> str:
    if len(text) > LONGEST_ID:
        raise BadInput("No id is that long.")
    return quote(text, safe="", errors="replace")


def find_server(settings: Mapping[str, str]) -> Server:
    """By HITL_URL and API_KEY, else beside an embedded server, which leaves both in its data
    folder.
    """
    folder = next(
        (
            folder
            for folder in _data_folders(settings)
            if os.access(folder / "server.json", os.R_OK)
        ),
        None,
    )
    url = settings.get("HITL_URL") or (_url_in(folder / "server.json") if folder else None)
    if not url:
        raise NoServer(
            "No server is running here: start one with `hitl serve` (or scripts/run), or set HITL_URL and API_KEY."
        )
    _check_url(url)
    beside_us = (
        _is_local(url) or "HITL_URL" not in settings
    )  # this server's key is not sent to another machine
    key = settings.get("API_KEY") or (_key_in(folder / "api_key") if folder and beside_us else None)
    if not key:
        raise NoServer(f"The key of the server at {url} is not known: set API_KEY.")
    if not (key.isascii() and key.isprintable()):
        raise BadInput("API_KEY has characters that no key has: use printable ASCII.")
    return Server(url, key)


def settings_here() -> dict[str, str]:
    """The environment over `.env` in the working directory. Empty is unset."""
    in_file = dict[str, str | None]()
    if Path(".env").is_file():
        from dotenv import dotenv_values

        try:
            in_file = dotenv_values(".env")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f".env cannot be read: {_why(error)}") from error
    return {
        name: value.strip()
        for name, value in {**in_file, **os.environ}.items()
        if value and value.strip()
    }


def _data_folders(settings: Mapping[str, str]) -> list[Path]:
    if configured := settings.get("HITL_DATA_DIR"):
        return [Path(configured)]
    return [DATA_DIR, DATA_DIR_OF_ROOT] if os.geteuid() == 0 else [DATA_DIR]


def _url_in(file: Path) -> str:
    try:
        return str(json.loads(file.read_bytes())["url"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise NoServer(
            f"{file} does not say where the server is: restart it, or set HITL_URL and API_KEY."
        ) from error


def _key_in(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise NoServer(
            f"The server's key in {file} cannot be read ({_why(error)}): set API_KEY."
        ) from error


def _check_url(url: str) -> None:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise BadInput(f"HITL_URL is {url!r}: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise BadInput(f"HITL_URL is {url!r}; it is to look like http://127.0.0.1:8080.")


def _is_local(url: str) -> bool:
    return httpx.URL(url).host in LOCAL


def text_of(file: str) -> str:
    """`-` is standard input."""
    try:
        content = (
            sys.stdin.buffer.read() if file == "-" else Path(os.path.expanduser(file)).read_bytes()
        )
        return content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise BadInput(f"{_name(file)} cannot be read: {_why(error)}") from error


def json_of(file: str) -> Json:
    text = text_of(file)
    try:
        return json_in(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{_name(file)} is not JSON: {error}") from error


def object_of(file: str) -> JsonObject:
    value = json_of(file)
    if not isinstance(value, dict):
        raise BadInput(f"{_name(file)} is to hold a JSON object.")
    return cast(JsonObject, value)


def json_in(text: str) -> Json:
    """Raises ValueError, also for NaN and Infinity, which JSON does not have."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def _name(file: str) -> str:
    return "standard input" if file == "-" else file


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 (byte {error.start})"
    return (isinstance(error, OSError) and error.strerror) or str(error)
