"""Slack, as far as its Web API is called here: a real server; blocks are checked by slack_sdk.

And its people, who click: their calls are signed as Slack signs them.
"""

import asyncio
import json
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, TypeVar, cast
from urllib.parse import urlencode

import httpx
from slack_sdk.models.blocks import Block, ConfirmObject
from slack_sdk.models.views import View
from slack_sdk.signature import SignatureVerifier

Json = dict[str, Any]
Found = TypeVar("Found")
TOKEN, SECRET, CHANNEL = "xoxb-token-of-the-tests", "signing-secret-of-the-tests", "C0123"
ADA, GRACE, STRANGER = "U0ADA", "U0GRACE", "U0EVE"
OK: Json = {"ok": True}
CUT = 0  # for a status: the call is taken, and its connection ends without a reply


@dataclass
class Workspace:
    """`replies`: to calls that come, by their method, before it is done as asked."""

    url: str = ""
    calls: list[tuple[str, Json]] = field(default_factory=list[tuple[str, Json]])
    messages: dict[str, Json] = field(default_factory=dict[str, Json])  # as they are, by their ts
    replies: dict[str, list[tuple[int, Json]]] = field(
        default_factory=dict[str, list[tuple[int, Json]]]
    )
    posted: Callable[[], object] = lambda: None  # called before the post is answered
    lock: Lock = field(default_factory=Lock)

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "slack_token": TOKEN,
            "slack_signing_secret": SECRET,
            "slack_channel": CHANNEL,
            "slack_operators": {ADA: "ada", GRACE: "grace"},
            "slack_url": self.url,
            "public_url": "https://ops.example.com",
        }

    @property
    def environment(self) -> dict[str, str]:
        names = {name: f"HITL_{name.upper()}" for name in self.settings}
        given = {**self.settings, "slack_operators": f"{ADA}=ada, {GRACE}=grace"}
        return {names[name]: value for name, value in given.items()}

    def call(self, method: str, said: Json, token: str | None) -> tuple[int, Json]:
        with self.lock:
            self.calls.append((method, said))
            if waiting := self.replies.get(method):
                return waiting.pop(0)
            if token != f"Bearer {TOKEN}":
                return 200, {"ok": False, "error": "invalid_auth"}
            check_blocks(said)
            if method == "chat.postMessage":
                ts = f"{len(self.calls)}.000100"
                self.messages[ts] = said
                self.posted()
                return 200, {**OK, "channel": said["channel"], "ts": ts}
            if method == "chat.update":
                self.messages[said["ts"]] = said
            return 200, OK

    async def wait(self, look: Callable[[], Found | None]) -> Found:
        """Return what is looked for, as soon as it is there."""
        for _ in range(400):
            if found := look():
                return found
            await asyncio.sleep(0.02)
        raise AssertionError(f"it did not come: {self.calls}")

    async def read_message(self, request_id: str) -> Json:
        """Return the message of that question, with its `ts`."""
        return await self.wait(lambda: self._find(request_id, lambda text: True))

    async def read_ended(self, request_id: str) -> str:
        """Return the same once it was rewritten."""
        ended = await self.wait(lambda: self._find(request_id, lambda text: "actions" not in text))
        return read_texts(ended)

    def _find(self, request_id: str, fits: Callable[[str], bool]) -> Json | None:
        for ts, message in self.messages.items():
            text = json.dumps(message["blocks"])
            if f"/inbox/q/{request_id}" in text and fits(text):
                return {**message, "ts": ts}
        return None

    def list_said(self, method: str) -> list[Json]:
        return [said for called, said in self.calls if called == method]


def check_blocks(said: Json) -> None:
    """Raise slack_sdk's SlackObjectFormationError for what Slack would not take."""
    blocks = said.get("blocks", [])
    for block in Block.parse_all(blocks):
        block.validate_json()
    if view := said.get("view"):
        View(**view).validate_json()
        blocks = view["blocks"]
    assert len(blocks) <= 50
    texts = [text for text in find_objects(said) if text.get("type") in ("plain_text", "mrkdwn")]
    assert all(len(text["text"]) <= 3000 for text in texts)
    for element in find_objects(said):
        if "action_id" in element and "confirm" in element:
            ConfirmObject(**element["confirm"]).validate_json()


def find_objects(value: Any) -> Generator[Json]:
    match value:
        case dict():
            yield cast("Json", value)
            parts = [*cast("Json", value).values()]
        case list():
            parts = cast("list[Any]", value)
        case _:
            return
    for part in parts:
        yield from find_objects(part)


def read_texts(message: Json) -> str:
    return "\n\n".join(block["text"]["text"] for block in message["blocks"] if "text" in block)


def find_buttons(message: Json) -> dict[str, Json]:
    """Return what can be pressed, by its action's id."""
    blocks = [block for block in message["blocks"] if block["type"] == "actions"]
    return {one["action_id"]: one for block in blocks for one in block["elements"]}


@contextmanager
def workspace() -> Generator[Workspace]:
    found = Workspace()

    class WebApi(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            method = self.path.rpartition("/")[2]
            status, told = found.call(method, json.loads(raw), self.headers["Authorization"])
            if status == CUT:
                return
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Retry-After", "1")
            self.end_headers()
            self.wfile.write(json.dumps(told).encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), WebApi)
    found.url = f"http://127.0.0.1:{server.server_port}/api/"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


def sign(body: str, at: float | None = None) -> dict[str, str]:
    stamp = str(int(time.time() if at is None else at))
    signature = SignatureVerifier(SECRET).generate_signature(timestamp=stamp, body=body)
    assert signature
    return {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": signature,
    }


@dataclass
class Person:
    """Somebody in Slack. `server`: where its interactions go, without a key."""

    workspace: Workspace
    server: httpx.AsyncClient
    user: str = ADA
    trigger: str = ""  # of a click that comes again

    async def click(self, message: Json, action_id: str, option: str = "") -> httpx.Response:
        """`option`: what is chosen of a select."""
        pressed = find_buttons(message)[action_id]
        actions = next(block for block in message["blocks"] if block["type"] == "actions")
        chosen = {"selected_option": {"value": option}} if option else {}
        action = {"block_id": actions["block_id"], "action_ts": "1", **pressed, **chosen}
        channel = {"channel_id": message["channel"], "message_ts": message["ts"]}
        return await self.send({
            "type": "block_actions",
            "container": {"type": "message", **channel},
            "actions": [action],
        })  # fmt: skip

    async def open(self, message: Json, action_id: str) -> Json:
        """Return the modal that the button opens."""
        before = len(self.workspace.list_said("views.open"))
        assert (await self.click(message, action_id)).status_code == 200
        (opened,) = self.workspace.list_said("views.open")[before:]
        return opened["view"]

    async def submit(self, view: Json, **filled: str) -> httpx.Response:
        """Send a modal; what is not filled in stays as it is."""
        inputs = [block for block in view["blocks"] if block["type"] == "input"]
        assert filled.keys() <= {block["block_id"] for block in inputs}
        values = {one["block_id"]: {"given": _fill(one, filled)} for one in inputs}
        return await self.send({
            "type": "view_submission",
            "view": {**view, "id": "V1", "state": {"values": values}},
        })  # fmt: skip

    async def send(self, payload: Json) -> httpx.Response:
        who = {"id": self.user, "username": "any", "team_id": "T0"}
        trigger = self.trigger or f"{time.monotonic_ns()}.1"
        body = urlencode({"payload": json.dumps({"user": who, "trigger_id": trigger, **payload})})
        return await self.server.post("/slack", content=body, headers=sign(body))


def _fill(block: Json, filled: dict[str, str]) -> Json:
    element, name = block["element"], block["block_id"]
    if element["type"] == "static_select":
        option = {"value": filled[name]} if name in filled else element.get("initial_option")
        return {"type": "static_select", "selected_option": option}
    text = filled.get(name, element.get("initial_value", ""))
    return {"type": "plain_text_input", "value": text or None}
