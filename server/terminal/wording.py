"""What the server refuses, in the words of the command line rather than of HTTP."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

# By path into a call's body, or by name of a query parameter: what gives it on the command line.
_GIVEN_BY: Mapping[str, str] = MappingProxyType(
    {
        "/objective": "--objective",
        "/inputs": "--input",
        "/outputs": "--output",
        "/threadId": "--thread",
        "/maxHitlRequests": "--max-questions",
        "/operator": "--operator",
        "/note": "--note",
        "/reason": "--reason",
        "/responses/0/selectedOptionId": "--option",
        "/responses/0/freeformText": "--text",
        "/responses/0/data": "--data",
        "/responses/0/editedArguments": "--edit",
        "query.agent": "--agent",
        "query.urgency": "--urgency",
        "query.threadId": "--thread",
        "query.status": "--status",
        "query.prefix": "the id",
        "path.runId": "the id",
        "path.requestId": "the id",
    }
)
_INSTEAD: Mapping[int, str] = MappingProxyType(
    {
        401: "The server does not know this key: set API_KEY to one that it knows.",
        413: "What is sent has more than 1 MiB: give large material by reference.",
    }
)
_PATH = re.compile(r"(?<![\w/.])(?:query|path)\.\w+|(?<![\w/.:])/(?:[\w~-]+(?:/[\w~-]+)*)")
_VALUE = re.compile("/(?:data|editedArguments)/(.+)")


def word_problem(status: int, problem: Mapping[str, Any]) -> str:
    """Return one line for a person about a problem+json body."""
    if instead := _INSTEAD.get(status):
        return instead
    said = problem.get("detail") or problem.get("title")
    if not said:
        return f"The server refused, and did not say why ({status})."
    return _PATH.sub(_name_path, str(said)) if status == 422 else str(said)


def _name_path(found: re.Match[str]) -> str:
    """Return the option that gave what is there, or the name of a value; else the path as it is."""
    path = found[0]
    if value := _VALUE.fullmatch(path):
        return value[1].replace("/", ".")
    for beginning, option in _GIVEN_BY.items():
        if path == beginning:
            return option
        if path.startswith(f"{beginning}/"):
            return f"{option} {path.removeprefix(beginning + '/').replace('/', '.')}"
    return path
