"""Reading a question from what an agent handed to `interrupt()`, and knowing it again."""

import hashlib
import json
from typing import Any, cast

from pydantic import ValidationError

from hitl_orchestrator.domain.checking import refers_to_itself
from hitl_orchestrator.domain.errors import NotAQuestion
from hitl_orchestrator.domain.hitl import MAX_QUESTION_BYTES, Action, Kind, Option, Question
from hitl_orchestrator.domain.json_values import Unstorable, check_storable
from hitl_orchestrator.domain.records import Json, describe_misfit
from hitl_orchestrator.domain.schemas import dangling_reference, schema_error

_FIELDS = set(Question.model_fields) - {"payload", "unshowable"}
LONGEST_TEXT, LONGEST_NAME = 20_000, 255
# Where agents put the words of their question, in the order of looking.
TEXT_WORDS = (
    "question",
    "message",
    "prompt",
    "query",
    "instructions",
    "request",
    "task",
    "description",
    "reason",
)


def parse_question(payload: object) -> Question:
    """Read a payload as docs/agents.md has it; a plain string is the question itself.

    Fields we do not know (an agent's own notes, an `originAgent` it claims to be) are left out.
    Raises NotAQuestion, which says what is missing.
    """
    if isinstance(payload, str):
        payload = {"question": payload}
    if not isinstance(payload, dict):
        raise NotAQuestion(
            "an interrupt needs a mapping with `question`, or a string,"
            f" not {type(payload).__name__}"
        )
    fields = cast(dict[str, Any], payload)
    check_size(fields)
    given = {name: value for name, value in fields.items() if name in _FIELDS and value is not None}
    if "kind" not in given:
        given["kind"] = infer_kind(given)
    try:
        question = Question.model_validate(given)
    except ValidationError as error:
        raise NotAQuestion(f"the question does not fit at {describe_misfit(error)}") from error
    if problem := _problem(question):
        raise NotAQuestion(problem)
    return question


def read_open(payload: Json, asker: str) -> Question:
    """Read whatever else an agent may hand over: shown whole, and answered raw.

    `asker`: whose question it is, where it has no words. Raise NotAQuestion for what cannot be
    shown.
    """
    check_size(payload)
    text = payload if isinstance(payload, str) else _find_text(payload)
    return Question(
        question=_clip(text) or f"{asker} waits for an answer",
        kind=Kind.OPEN,
        options=tuple(option for option, _ in read_options(payload)),
        payload=payload,
    )


def describe_unshowable(text: object, kind: Kind, asker: str, reason: str) -> Question:
    """Return what can be said of a question that cannot be shown: it is refused, not asked."""
    words = text if isinstance(text, str) else ""
    printable = words.replace("\0", "").encode(errors="replace").decode()
    return Question(
        question=_clip(printable) or f"{asker} waits for an answer",
        kind=kind,
        unshowable=reason,
    )


def read_options(payload: Json) -> list[tuple[Option, Json]]:
    """Return the options of a payload, each with its own value; none, where one is no option."""
    given = payload if isinstance(payload, dict) else {}
    found = given.get("options") or given.get("choices")
    options: list[tuple[Option, Json]] = []
    for value in found if isinstance(found, list) else []:
        label = value if isinstance(value, str) else _find_label(value)
        if not label or not label.strip():
            return []
        named = value.get("id") if isinstance(value, dict) else None
        name = named if isinstance(named, str) and named else label
        options.append((Option(id=name[:LONGEST_NAME], label=_clip(label)), value))
    ids = {option.id for option, _ in options}
    return options if len(ids) == len(options) else []


def _find_text(payload: Json) -> str:
    """Return the first text under one of the words that agents use; empty: there is none."""
    given = payload if isinstance(payload, dict) else {}
    texts = [given.get(word) for word in TEXT_WORDS]
    return next((text for text in texts if isinstance(text, str) and text.strip()), "")


def _find_label(value: Json) -> str:
    given = value if isinstance(value, dict) else {}
    texts = [given.get(word) for word in ("label", "name", "title", "text", "id", "value")]
    return next((text for text in texts if isinstance(text, str)), "")


def _clip(text: str) -> str:
    """Make it a headline; the whole is in the payload."""
    text = text.strip()
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


class CannotBeShown(NotAQuestion):
    """The question cannot be shown to a person whole; `detail` says why."""


def check_size(payload: object) -> None:
    """Raise CannotBeShown unless it is JSON that can be stored, and not over 256 KiB."""
    try:
        size = check_storable(payload)
    except Unstorable as error:
        raise CannotBeShown(f"the question {error}") from error
    if size > MAX_QUESTION_BYTES:
        raise CannotBeShown(f"the question has {size} bytes; {MAX_QUESTION_BYTES} are allowed")


def fingerprint(question: Question) -> str:
    """Return the same for the same question with its whole context; its expiry aside."""
    same = question.model_dump(mode="json", exclude={"expiresInSeconds"})
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()


def infer_kind(given: dict[str, Any]) -> Kind:
    if "action" in given:
        return Kind.APPROVAL
    if "options" in given:
        return Kind.CHOICE
    return Kind.FORM if "responseSchema" in given else Kind.FREEFORM


def _problem(question: Question) -> str | None:
    if not question.question.strip():
        return "`question` is empty"
    ids = [option.id for option in question.options]
    if question.kind is Kind.CHOICE and not ids:
        return "a question of kind `choice` needs `options`"
    if len(set(ids)) != len(ids):
        return "two `options` have the same id"
    if question.kind is Kind.FORM and question.responseSchema is None:
        return "a question of kind `form` needs a `responseSchema`"
    if question.responseSchema is not None:
        if error := schema_error(question.responseSchema):
            return f"`responseSchema` is not a JSON Schema: {error}"
        if reference := dangling_reference(question.responseSchema):
            return f"`responseSchema` refers to {reference}, which is not in it"
        if refers_to_itself(question.responseSchema):
            return "`responseSchema` cannot be checked: it refers to itself without end"
    return _action_problem(question.action, question.kind)


def _action_problem(action: Action | None, kind: Kind) -> str | None:
    if action is not None and kind is not Kind.APPROVAL:
        return f"an `action` needs the kind `approval`, not `{kind}`"
    if action is not None and not action.allowedDecisions:
        return "`action.allowedDecisions` is empty"
    return None
