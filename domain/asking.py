"""Reading a question from what an agent handed to `interrupt()`, and knowing the same question
again.
"""

import hashlib
import json
import re
from typing import Any, cast

from pydantic import ValidationError

from hitl_orchestrator.domain.errors import NotAQuestion
from hitl_orchestrator.domain.hitl import MAX_QUESTION_BYTES, Action, Kind, Question
from hitl_orchestrator.domain.schemas import dangling_reference, schema_error

_FIELDS = set(Question.model_fields)
# as json.dumps writes it, and not a backslash followed by u0000
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def parse_question(payload: object) -> Question:
    """A payload of the contract's section 3, or a plain string as the question. Fields we do not
    know (an agent's own notes, an `originAgent` it claims to be) are left out. Raises NotAQuestion,
    which says what is missing."""
    if isinstance(payload, str):
        payload = {"question": payload}
    if not isinstance(payload, dict):
        raise NotAQuestion(
            f"an interrupt needs a mapping with `question`, or a string, not {type(payload).__name__}"
        )
    fields = cast(dict[str, Any], payload)
    check_size(fields)
    given = {name: value for name, value in fields.items() if name in _FIELDS and value is not None}
    if "kind" not in given:
        given["kind"] = _kind_of(given)
    try:
        question = Question.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise NotAQuestion(
            f"the question does not fit at `{'.'.join(map(str, first['loc']))}`: {first['msg']}"
        ) from error
    if problem := _problem(question):
        raise NotAQuestion(problem)
    return question


def check_size(payload: object) -> None:
    """JSON, storable, and not over 256 KiB: else NotAQuestion."""
    try:
        text = json.dumps(payload, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        # UnicodeEncodeError is a ValueError: a lone surrogate
        raise NotAQuestion(f"the question is not plain JSON: {error}") from error
    if _NUL.search(text):
        raise NotAQuestion("the question holds a NUL character, which cannot be stored")
    if size > MAX_QUESTION_BYTES:
        raise NotAQuestion(f"the question has {size} bytes; {MAX_QUESTION_BYTES} are allowed")


def fingerprint(question: Question) -> str:
    """The same for the same question: its payload, urgency, context and expiry aside."""
    same = question.model_dump(
        mode="json", exclude={"urgency", "additionalContext", "expiresInSeconds"}
    )
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()


def _kind_of(given: dict[str, Any]) -> Kind:
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
    return _action_problem(question.action, question.kind)


def _action_problem(action: Action | None, kind: Kind) -> str | None:
    if action is not None and kind is not Kind.APPROVAL:
        return f"an `action` needs the kind `approval`, not `{kind}`"
    if action is not None and not action.allowedDecisions:
        return "`action.allowedDecisions` is empty"
    return None
