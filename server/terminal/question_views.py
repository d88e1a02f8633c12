"""A question, as a terminal shows it to the person who decides."""

import re
import shlex
from collections.abc import Sequence
from datetime import datetime
from typing import cast

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from hitl_orchestrator.server.terminal.console import make_facts
from hitl_orchestrator.server.terminal.decisions import describe_decision
from hitl_orchestrator.server.terminal.text import join_lines, outline
from hitl_orchestrator.server.terminal.wire import (
    Json,
    JsonObject,
    OptionJson,
    RequestJson,
    RunJson,
)

_URGENCY_STYLES = {"high": "red", "normal": "yellow", "low": "blue"}
_ANSWER_OPTIONS = {
    "approval": "--approve (or --reject)",
    "choice": "--option ID",
    "freeform": "--text TEXT",
    "form": "--data FILE",
    "open": "--approve, --text TEXT, --option ID or --value JSON (or --reject)",
}
# Of a payload: what is read as part of a question, and drawn as such.
_DRAWN = {
    "question", "kind", "options", "allowFreeForm", "urgency", "additionalContext", "action",
    "responseSchema", "expiresInSeconds",
    "action_requests", "review_configs",
    "type", "tool_call_id", "name", "args", "description",
    "action_request", "config",
}  # fmt: skip


def draw_request(request: RequestJson, boxed: bool, run: RunJson) -> RenderableType:
    """Draw a question of that run, and what became of it."""
    facts = make_facts(
        {
            "Request": request["requestId"],
            "Run": request["runId"],
            "Status": request["status"],
            "Kind": request["kind"],
            "Objective": run["objective"],
        }
    )
    if request["status"] == "pending":
        facts.add_row(Text("Answer it", "dim"), Text(make_answer_command(request)))
    if decision := describe_decision(request, run):
        facts.add_row(Text("Decided", "dim"), Text(decision))
    for response in request.get("responses", []):
        facts.add_row(Text("Response", "dim"), Text("\n".join(_outline_response(response))))
    return Group(facts, Text(), draw_question(request, boxed))


def make_answer_command(request: RequestJson) -> str:
    """Return the command that answers this question anywhere, but for the answer itself."""
    return f"hitl answer {shlex.quote(request['requestId'])} {_ANSWER_OPTIONS[request['kind']]}"


def _outline_response(response: JsonObject) -> list[str]:
    """Return what the person gave, without what was left empty."""
    given: JsonObject = {}
    for name, value in response.items():
        if name != "requestId" and value not in (None, {}, []):
            given[name] = value
    return outline(given)


def draw_question(request: RequestJson, boxed: bool) -> RenderableType:
    """Draw a question with all that is needed to decide it.

    `boxed`: in a panel as wide as the terminal, with Markdown rendered.
    """
    parts = [
        Text(request["question"], "bold"),
        *_draw_context(request, boxed),
        *_draw_action(request),
        *_draw_options(request),
        *_draw_form(request),
        *_draw_payload(request),
        Text(),
        Text(request["operatorPrompt"], "italic"),
        Text(_describe_contract(request), "dim"),
    ]
    return _box(request, parts) if boxed else Group(*parts)


def _draw_context(request: RequestJson, boxed: bool) -> list[RenderableType]:
    context = request.get("additionalContext")
    if not context:
        return []
    rest = drop_repeated(context, request)
    parts: list[RenderableType] = []
    if rest:
        parts += [Text(), _draw_markdown(rest) if boxed else Text(rest)]
    if rest != context:
        parts += [Text(), Text("What it repeats of the action stands below, once.", "dim")]
    return parts


def drop_repeated(context: str, request: RequestJson) -> str:
    """Return the context without the paragraphs that the action's arguments show anyway.

    Of such a paragraph each line is, whole, a line of the arguments as they are drawn, or a value.
    """
    action = request.get("action")
    if not action:
        return context
    drawn = {_strip_marks(line) for line in outline(action.get("arguments", {}))}
    drawn |= {line.partition(": ")[2] for line in drawn}
    paragraphs = re.split(r"\n(?:[ >]*\n)+", context)
    kept = [each for each in paragraphs if not drawn.issuperset(_list_words(each))]
    return context if len(kept) == len(paragraphs) else "\n\n".join(kept)


def _list_words(paragraph: str) -> list[str]:
    return list(map(_strip_marks, paragraph.splitlines()))


def _strip_marks(line: str) -> str:
    """Return the words of a line, without what Markdown or an outline puts around them."""
    return join_lines(line).lstrip("->#* ").rstrip("* ").casefold()


def _draw_markdown(text: str) -> RenderableType:
    # takes as long to import as the rest of rich, and most commands show none
    from rich.markdown import Markdown

    return Markdown(text, hyperlinks=False)  # a link shows where it leads


def _draw_action(request: RequestJson) -> list[RenderableType]:
    action = request.get("action")
    if not action:
        return []
    return [
        Text(),
        Text.assemble("The action: ", (join_lines(action["name"]), "bold")),
        Text("\n".join(outline(action.get("arguments", {}), "  "))),
    ]


def _draw_options(request: RequestJson) -> list[RenderableType]:
    options = request.get("options")
    if not options:
        return []
    table = Table.grid(padding=(0, 1))
    for key, option in number_options(options):
        table.add_row(Text(f"{key})"), _draw_label(option), Text(join_lines(option["id"]), "dim"))
    return [Text(), table]


def number_options(options: list[OptionJson]) -> list[tuple[str, OptionJson]]:
    """Return each option with what a person types for it.

    That is its number, or its id where an id could be taken for a number.
    """
    has_digits = any(option["id"].isdigit() for option in options)
    if has_digits:
        return [(option["id"], option) for option in options]
    return [(str(number), option) for number, option in enumerate(options, 1)]


def _draw_label(option: OptionJson) -> Text:
    description = option.get("description")
    return Text.assemble((option["label"], "bold"), f" — {description}" if description else "")


def _draw_form(request: RequestJson) -> list[RenderableType]:
    schema = request.get("responseSchema")
    if not schema:
        return []
    return [
        Text(),
        Text("The form, as JSON Schema:"),
        Text("\n".join(outline(schema, "  "))),
    ]


def _draw_payload(request: RequestJson) -> list[RenderableType]:
    """Draw what the agent handed over, as far as it is not drawn above: nobody decides blind."""
    rest: Json = request.get("payload")
    if isinstance(rest, dict) and request["kind"] != "open":
        rest = _leave_out_drawn(cast(JsonObject, rest))
    if rest in (None, {}, request["question"]):
        return []
    return [Text(), Text("Handed over by the agent:"), Text("\n".join(outline(rest, "  ")))]


def _leave_out_drawn(payload: JsonObject) -> JsonObject:
    return {name: value for name, value in payload.items() if name not in _DRAWN}


def _describe_contract(request: RequestJson) -> str:
    summary = request["contractSummary"]
    taken = ", ".join(summary["facets"]["input"]) or "nothing"
    made = ", ".join(summary["facets"]["output"])
    return f"{summary['capabilityId']} takes {taken} and makes {made}{_describe_expiry(request)}"


def _describe_expiry(request: RequestJson) -> str:
    expires = request.get("expiresAt")
    if not expires:
        return ""
    return f"; expires {datetime.fromisoformat(expires).astimezone():%Y-%m-%d %H:%M:%S}"


def _box(request: RequestJson, parts: Sequence[RenderableType]) -> Panel:
    urgency = request.get("urgency", "normal")
    return Panel(
        Group(*parts),
        title=Text(join_lines(f" {request['originAgent']} asks · {urgency} ")),
        subtitle=Text(f" {join_lines(request['requestId'])} "),
        border_style=_URGENCY_STYLES.get(urgency, ""),
        padding=(1, 2),
    )
