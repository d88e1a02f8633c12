"""What a person has to see of a question, in every protocol's clients; of the API's JSON."""

import json
from typing import Any, NamedTuple

JsonObject = dict[str, Any]


class Part(NamedTuple):
    """Something to be seen: words, or, without any, a value that is shown as JSON."""

    words: str | None = None
    value: Any = None


def describe_question(request: JsonObject) -> str:
    """Return all that a person has to see before deciding, as Markdown."""
    parts = list_parts(request)
    return "\n\n".join(
        quote_json(each.value) if each.words is None else each.words for each in parts
    )


def list_parts(request: JsonObject) -> list[Part]:
    """Return the same, piece by piece."""
    parts = [
        Part(request["question"]),
        Part(_describe_asker(request)),
        Part(request.get("additionalContext") or ""),
        *_describe_action(request.get("action")),
        Part("\n".join(map(_describe_option, request.get("options") or ()))),
        *_describe_payload(request),
        *(Part(_describe_earlier(each)) for each in request.get("earlier") or ()),
        Part(request["operatorPrompt"]),
    ]
    return [part for part in parts if part.words != ""]


def _describe_asker(request: JsonObject) -> str:
    until = f", expires at {request['expiresAt']}" if request.get("expiresAt") else ""
    return f"Asked by {request['originAgent']}, urgency {request['urgency']}{until}."


def _describe_action(action: JsonObject | None) -> tuple[Part, ...]:
    if action is None:
        return ()
    words = f"The action `{action['name']}`, with these arguments:"
    return Part(words), Part(value=action["arguments"])


def _describe_option(option: JsonObject) -> str:
    about = f" ({option['description']})" if option.get("description") else ""
    return f"- `{option['id']}`: {option['label']}{about}"


def _describe_payload(request: JsonObject) -> tuple[Part, ...]:
    payload = request.get("payload")
    is_said = request["kind"] != "open" or payload in (None, request["question"])
    return () if is_said else (Part(value=payload),)


def _describe_earlier(earlier: JsonObject) -> str:
    ended = earlier.get("denialReason") or json.dumps(earlier.get("answer"), ensure_ascii=False)
    return f"Asked before, {earlier['status']}: {ended}"


def quote_json(value: Any) -> str:
    """Return it as a block of Markdown."""
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```"
