"""What of an agent's question can be shown to a person: JSON that can be stored, and not too large.

A tool call that cannot be is left out with the reason, and refused; its siblings stay.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from pydantic_core import to_jsonable_python

from hitl_orchestrator.domain.asking import CannotBeShown, check_size
from hitl_orchestrator.domain.hitl import MAX_QUESTION_BYTES
from hitl_orchestrator.domain.json_values import Unstorable, check_storable
from hitl_orchestrator.domain.records import Json

LONGEST_BEGINNING = 1000  # characters of what cannot be shown whole


class Displayed(NamedTuple):
    """What was asked, and why its questions cannot be shown; None: one can be."""

    value: object
    reasons: Sequence[str | None] = ()


def leave_out_unshowable(value: object) -> Displayed:
    """Replace each tool call of a known dialect that cannot be shown by what can be said of it.

    Anything else is returned as it is.
    """
    given: Any = value
    match given:
        case {"action_requests": [*actions]}:
            shown = [_check_action(action) for action in actions]
            kept: dict[str, Any] = {**given, "action_requests": [one.value for one in shown]}
            return Displayed(kept, [one.reasons[0] for one in shown])
        case {"type": "tool_approval"}:
            return _check_action(given)
        case [{"action_request": {"action": _}}]:
            one = _check_interrupt(cast(list[Any], given)[0])
            return Displayed([one.value], one.reasons)
        case {"action_request": {"action": _}}:
            return _check_interrupt(given)
        case _:
            return Displayed(value)


def make_json(value: object) -> Json:
    """Return it as plain JSON. Raise CannotBeShown."""
    try:
        return to_jsonable_python(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise CannotBeShown(f"the question is not plain JSON: {error}") from error


def choose_payload(plain: Json, number: int) -> Json:
    """Return what is kept of what was asked: the whole, or of a very large one the one question.

    `number`: which question of it. Raise CannotBeShown.
    """
    try:
        size = check_storable(plain)
    except Unstorable as error:
        raise CannotBeShown(f"the question {error}") from error
    match plain:
        case {"action_requests": [*actions]} if size > MAX_QUESTION_BYTES:
            return {**plain, "action_requests": [actions[number]]}
        case _:
            return plain


def _check_action(action: Any) -> Displayed:
    if not isinstance(action, Mapping):
        return Displayed(action, [None])
    given = cast(Mapping[str, Any], action)
    reason = _find_reason(given)
    if reason is None:
        return Displayed(action, [None])
    about = _describe(given.get("args"), reason)
    name = _write_name(given.get("name"))
    kept: dict[str, Any] = {**_keep_type(given), "name": name, "args": {}, "description": about}
    return Displayed(kept, [reason])


def _check_interrupt(interrupt: Mapping[str, Any]) -> Displayed:
    reason = _find_reason(interrupt)
    if reason is None:
        return Displayed(interrupt, [None])
    asked: Mapping[str, Any] = interrupt["action_request"]
    kept: dict[str, Any] = {
        "action_request": {"action": _write_name(asked.get("action")), "args": {}},
        "config": interrupt.get("config"),
        "description": _describe(asked.get("args"), reason),
    }
    return Displayed(kept, [reason])


def _find_reason(part: Mapping[str, Any]) -> str | None:
    """Say why it cannot be shown.

    The description is measured apart: LangChain's repeats the arguments.
    """
    rest = {name: value for name, value in part.items() if name != "description"}
    for piece in (rest, part.get("description")):
        try:
            check_size(make_json(piece))
        except CannotBeShown as error:
            return error.detail
    return None


def _describe(arguments: object, reason: str) -> str:
    begins = repr(arguments)[:LONGEST_BEGINNING]  # it escapes what cannot be stored
    return f"It cannot be shown whole: {reason}.\n\nIt begins: {begins}"


def _write_name(name: object) -> str:
    text = name if isinstance(name, str) else repr(name)
    return text if text.isprintable() else repr(text)


def _keep_type(action: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": action["type"]} if action.get("type") == "tool_approval" else {}
