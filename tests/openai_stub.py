"""The OpenAI API on a free port of this machine, as far as we use it: chat completions that answer
in a JSON Schema.

What it says is scripted, one entry a call: a text, a status code, a whole body, or a function that
makes a text of the request. After that it answers with the smallest value that fits the schema that
was asked for.
"""

import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

Body = dict[str, Any]
Scripted = str | int | Body | Callable[[Body], str]


@dataclass
class OpenAIStub:
    """`requests`: the bodies it got, in order."""

    base_url: str
    script: deque[Scripted] = field(default_factory=deque[Scripted])
    requests: list[Body] = field(default_factory=list[Body])

    def data(self, call: int = -1) -> Body:
        """What a call of ours was about: the JSON object in its first user message."""
        return json.loads(
            next(
                message["content"]
                for message in self.requests[call]["messages"]
                if message["role"] == "user"
            )
        )


@contextmanager
def openai_stub() -> Generator[OpenAIStub]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        stub = OpenAIStub(f"http://127.0.0.1:{listening.getsockname()[1]}/v1")
        config = uvicorn.Config(
            _api(stub), log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        listening.listen()  # from here on a call waits, and is not refused
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield stub
        finally:
            server.should_exit = True
            thread.join()


def _api(stub: OpenAIStub) -> FastAPI:
    app = FastAPI()

    async def complete(request: Request) -> JSONResponse:
        body: Body = await request.json()
        stub.requests.append(body)
        scripted = stub.script.popleft() if stub.script else smallest
        if isinstance(scripted, int):
            error = {
                "message": f"scripted {scripted}",
                "type": "scripted",
                "code": None,
                "param": None,
            }
            return JSONResponse({"error": error}, scripted, {"retry-after": "0"})
        if isinstance(scripted, dict):
            return JSONResponse(scripted)
        return JSONResponse(
            _completion(body["model"], scripted if isinstance(scripted, str) else scripted(body))
        )

    app.add_api_route("/v1/chat/completions", complete, methods=["POST"])
    return app


def smallest(body: Body) -> str:
    """The smallest value that fits the schema that was asked for; without one, an echo."""
    wanted = body.get("response_format", {}).get("json_schema")
    if wanted is None:
        return f"echo: {body['messages'][-1]['content']}"
    return json.dumps(_example(wanted["schema"], wanted["schema"].get("$defs", {})))


def _example(schema: Body, definitions: Body) -> Any:
    match schema:
        case {"$ref": str(name)}:
            return _example(definitions[name.rpartition("/")[2]], definitions)
        case {"const": value} | {"enum": [value, *_]}:
            return value
        case {"anyOf": [first, *_]}:
            return _example(first, definitions)
        case {"type": "object"}:
            return {
                name: _example(each, definitions)
                for name, each in schema.get("properties", {}).items()
            }
        case {"type": "array"}:
            return [_example(schema["items"], definitions)] * schema.get("minItems", 0)
        case {"type": str(name)}:
            return {"string": "text", "integer": 0, "number": 0.0, "boolean": False}.get(name)
        case _:
            return None


def _completion(model: str, content: str) -> Body:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
