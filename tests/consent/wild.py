"""Payloads as they are handed to `interrupt()` out there: mappings of their own most of all.

Each with what its agent wants back: `True`, a text, an option's own value, or any JSON.
"""

from typing import Any, NamedTuple


class Wild(NamedTuple):
    payload: Any
    wants: Any


DRAFT = "Dear Ann,\n\nwe come on Friday.\n\nBob"

YES_OR_NO: list[Any] = [
    {"message": "Approve this action?", "action": "delete_user", "user_id": 17},
    {"question": "Is this correct?", "details": {"name": "Ann", "birthday": "1990-04-01"}},
    {"type": "approval", "action": "send_email", "email": {"to": "ann@example.org", "body": DRAFT}},
    {"type": "tool_call_approval", "tool": "run_sql", "args": {"query": "DROP TABLE x"}},
    {"type": "confirmation", "prompt": "Really delete?", "count": 12},
    {"action": "transfer", "amount": 12000, "currency": "EUR", "to": "DE02 1203 0000"},
    {"message": "Publish this post?", "post": {"title": "News", "tags": ["a", "b"]}},
    {"task": "Review the plan", "plan": ["search", "write", "publish"]},
    {"request": "Access to the calendar", "scopes": ["read", "write"]},
    {"description": "A refund over the limit", "amount": 99.5},
    {"reason": "The confidence is low", "confidence": 0.41, "label": "spam"},
    {"tool_name": "book_hotel", "tool_input": {"hotel": "Ritz", "nights": 3}},
    {"tool_calls": [{"name": "send", "args": {"to": "ann"}, "id": "call_1"}]},
    {"node": "human_review", "state": {"messages": ["hello"], "step": 3}},
    {"question": "Continue?", "kind": "unknown_kind", "step": 4},
    {"question": "Deploy to production?", "options": ["yes", "no"], "diff": "+1 -1"},
    {"question": "Execute?", "kind": 7},
    {"approval_required": True, "command": "rm -rf build", "cwd": "project"},
    {"type": "interrupt", "value": {"ask": "proceed"}},
    {"event": "awaiting_approval", "payload": {"order": 1234}},
    "Do you approve?",
    "Proceed with the payment of 4,200 to ACME?",
    ["delete a.txt", "delete b.txt"],
    [{"name": "send", "args": {}}, {"name": "pay", "args": {"sum": 3}}],
    [],
    {},
    True,
    0,
    None,
    {"action_requests": "pay the bill"},
    {"action_request": "pay the bill", "config": {}},
    {"message": "", "amount": 3},
    {"question": {"text": "Nested?", "lang": "en"}},
    {"question": None, "prompt": "Approve?"},
    {"summary": "Five changes", "changes": [{"path": "a", "kind": "edit"}] * 5},
]

TEXTS: list[Any] = [
    "What is your name?",
    "Age?",
    "Please provide feedback on the draft.",
    "Which city do you want the weather for?",
    "",
    "   ",
    {"question": "What should I search for?"},
    {"question": "How should I go on?", "draft": DRAFT},
    {"query": "Which invoice do you mean?"},
    {"message": "Please review and edit the summary", "summary": "It is short."},
    {"prompt": "Enter the verification code"},
    {"instructions": "Give feedback on the outline", "outline": ["a", "b"]},
    {"task": "Revise the text", "text": DRAFT, "iteration": 2},
    {"type": "feedback", "content": DRAFT},
    {"type": "input_required", "field": "email"},
    {"type": "clarification", "question": "Which Ann?", "candidates": ["Ann A.", "Ann B."]},
    {"ai_answer": "42", "instruction": "Ask a follow-up, or say done"},
    {"llm_output": "A joke about cats", "some_text": "Rate it"},
    {"text_to_revise": DRAFT},
    {"question": "A long story? " + "word " * 5000},
    {"message": "Umlaute: äöü, 漢字, emoji 🙂"},
    {"messages": [{"role": "assistant", "content": "Where to?"}]},
    {"request": "Give the missing date", "missing": ["date"]},
    {"description": "The total does not match", "expected": 3, "found": 4},
]

CHOICES: list[tuple[dict[str, Any], Any]] = [
    ({"question": "Which one?", "options": ["red", "green"]}, "green"),
    ({"message": "Pick a plan", "options": ["basic", "pro", "team"]}, "pro"),
    ({"type": "select", "prompt": "Where to?", "choices": ["Rome", "Oslo"]}, "Oslo"),
    (
        {"question": "Who?", "choices": [{"name": "Ann", "value": 1}, {"name": "Bob", "value": 2}]},
        1,
    ),
    ({"message": "Action?", "options": [{"label": "Keep", "value": "keep"}]}, 0),
    ({"options": [{"id": "a", "title": "First"}, {"id": "b", "title": "Second"}]}, 1),
    ({"question": "Next?", "options": ["approve", "reject", "revise"], "draft": DRAFT}, "revise"),
    ({"type": "router", "question": "Which agent?", "options": [{"text": "sales"}]}, 0),
]

DATA: list[tuple[Any, Any]] = [
    ({"message": "Correct the record", "record": {"a": 1}}, {"a": 2}),
    ({"type": "edit", "content": {"title": "x", "body": "y"}}, {"title": "z", "body": "y"}),
    ({"question": "Approve or edit?", "args": {"to": "ann"}}, {"action": "edit", "to": "bob"}),
    ({"action": "review_tool_call", "tool_call": {"name": "f"}}, {"action": "continue"}),
    ({"question": "Is it right?", "tool": "book"}, {"type": "accept"}),
    ({"prompt": "Scores?", "items": ["a", "b"]}, [3, 4]),
    ({"message": "How many?", "max": 10}, 7),
    ({"type": "approval", "question": "Go?"}, "approve"),
    ({"type": "approval", "message": "Ship it?", "version": "1.2"}, {"approved": True}),
    ({"question": "Accept the risk?", "risk": 0.2}, {"decision": "yes", "by": "ann"}),
    ({"message": "Rate", "scale": [1, 5]}, 4.5),
    ({"question": "Should we?", "evidence": ["x"]}, False),
    ({"interrupt_type": "review", "data": {"rows": [[1, 2], [3, 4]]}}, {"rows": [[1, 2]]}),
    ({"type": "form", "fields": [{"name": "city"}, {"name": "day"}]}, {"city": "Rome", "day": 3}),
    ({"human_input": {"required": True}, "context": {"deep": [[[1]]]}}, {"human": "fine"}),
    ({"question": "Sign?", "document": {"pages": 3, "hash": "0xff"}}, {"signature": "Ann"}),
    ({"message": "State", "values": {"a": None, "b": [], "c": {}}}, {"a": "set"}),
    ({"question": "Merge?", "pull_request": 17, "checks": {"ok": True}}, "squash"),
    ({"type": "question", "question": "Budget?"}, 120000000000000),
    ({"message": "Move the meeting?", "from": "Mon", "to": "Tue"}, {"when": "Wed"}),
]


def _pick(payload: dict[str, Any], wanted: Any) -> Any:
    """Return the option's own value: the text itself, or the object at this place."""
    given: list[Any] = payload.get("options") or payload["choices"]
    return wanted if isinstance(wanted, str) else given[wanted]


WILD = [
    *(Wild(payload, True) for payload in YES_OR_NO),
    *(Wild(payload, f"my answer to {number}") for number, payload in enumerate(TEXTS)),
    *(Wild(payload, wanted) for payload, wanted in DATA),
]
CHOSEN = [Wild(payload, _pick(payload, wanted)) for payload, wanted in CHOICES]
