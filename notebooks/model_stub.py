"""A chat model for `05_your_agent`: OpenAI's API on this machine, which says what it is told to.

The client in front of it is the real one. Take a model of yours instead, and nothing else changes.
"""

import json
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

from langchain_openai import ChatOpenAI


def scripted_model(*messages: Mapping[str, Any]) -> ChatOpenAI:
    """Return a model that says these messages, one after the other, in the words of the API.

    Which is next it sees from what it is shown, so a conversation can be forked.
    """

    class Completions(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            said = sum(message["role"] == "assistant" for message in asked["messages"])
            body = json.dumps(_complete(messages[said])).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing in the notebook."""

    server = HTTPServer(("127.0.0.1", 0), Completions)
    Thread(target=server.serve_forever, daemon=True).start()
    return ChatOpenAI(
        model="scripted", base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="none"
    )


def call_tool(name: str, **arguments: Any) -> dict[str, Any]:
    """Return a message that calls the tool."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    calls: Sequence[Any] = [{"id": "call_1", "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def say(text: str) -> dict[str, Any]:
    """Return a message that says the text."""
    return {"role": "assistant", "content": text}


def _complete(message: Mapping[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted",
        "choices": [choice],
    }
