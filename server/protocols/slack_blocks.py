"""A question as Slack's blocks: a message with buttons, and a modal for what needs words. Pure.

What a person decides is what they see: words are plain text, values are JSON between fences, and
characters that nobody sees are named. What does not fit whole into Slack is not decided there.
Limits: https://docs.slack.dev/reference/block-kit
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from re import Match
from typing import cast

from hitl_orchestrator.domain.hitl import HitlRequest, Kind, Option, Urgency
from hitl_orchestrator.domain.notices import word_notice
from hitl_orchestrator.domain.records import Json, JsonObject
from hitl_orchestrator.domain.resolutions import Resolution
from hitl_orchestrator.domain.unseen import UNSEEN
from hitl_orchestrator.server.protocols.description import Part, list_parts
from hitl_orchestrator.server.protocols.forms import (
    ANSWER,
    FIELD,
    build_form,
    list_decisions,
)

MOST_BLOCKS = 50  # of a message; a modal may have twice as many
MOST_BUTTONS, MOST_OPTIONS = 20, 100  # of options; of a select
LONGEST_TEXT = 3000  # of a section, and of what a box is filled with
LONGEST_LABEL = 75  # of a button, and of an option
LONGEST_VALUE = 150  # of an option
LONGEST_END = 300
LONGEST_NAME = 255  # of a block
CHOOSE = "choose"  # the decision that an option's button is
_LABELS = {
    "approve": "Approve",
    "edit": "Edit…",
    "respond": "Respond…",
    "reject": "Reject…",
    ANSWER: "Answer…",
}
_STYLES = {"approve": "primary", "reject": "danger"}
_TOO_LARGE = "It is more than fits in here: read all of it, and decide, at its page."


class DoesNotFit(Exception):
    """Slack could not show it whole."""


class SlackQuestion:
    """`link`: of its page, where all of it is shown."""

    def __init__(self, request: HitlRequest, link: str) -> None:
        self._request = request
        self._link = link

    @property
    def summary(self) -> str:
        """Return what stands in notifications."""
        title, body = word_notice(self._request, self._link)
        return escape(_name_unseen(f"{title}\n{body}"))

    @property
    def blocks(self) -> list[JsonObject]:
        """Return all of it with its buttons; where that does not fit, its link without any."""
        try:
            described = self._describe()
            buttons = self._build_buttons()
        except DoesNotFit:
            return self.short_blocks
        return [*described, buttons, self._write_link("Open in the inbox")]

    @property
    def short_blocks(self) -> list[JsonObject]:
        return [*self._summarize(), self._write_link(_TOO_LARGE)]

    def tell_end(self, ending: Resolution) -> tuple[list[JsonObject], list[JsonObject]]:
        """Return it without buttons, and how it ended; whole, if it fits, and short."""
        words = f"{ending.who} {ending.did}".strip()
        if len(words) > LONGEST_END:
            words = f"{words[: LONGEST_END - 1]}…"
        at = f" ({ending.at:%Y-%m-%d %H:%M} UTC)" if ending.at else ""
        end = [_write_plain(words + at), self._write_link("Open in the inbox")]
        short = self._summarize()
        try:
            described = self._describe()
        except DoesNotFit:
            described = short
        return [*described, *end], [*short, *end]

    def build_modal(self, decision: str) -> JsonObject:
        """Raise DoesNotFit where it has no place in a modal, or is no decision of it."""
        if decision not in list_decisions(self._shown):
            raise DoesNotFit
        inputs = self._build_inputs(decision)
        return {
            "type": "modal",
            "callback_id": decision,
            "private_metadata": self._request.requestId,
            "title": _write_text(_LABELS[decision].removesuffix("…")),
            "submit": _write_text("Send"),
            "blocks": [_write_plain(self._request.question), *inputs],
        }

    @cached_property
    def _shown(self) -> JsonObject:
        return self._request.json_object()

    def _describe(self) -> list[JsonObject]:
        blocks = [_describe_part(part) for part in list_parts(self._shown)]
        if len(blocks) > MOST_BLOCKS - 2:
            raise DoesNotFit
        return blocks

    def _summarize(self) -> list[JsonObject]:
        title, body = word_notice(self._request, self._link)
        return [_write_plain(title[:LONGEST_LABEL]), _write_plain(body.partition("\n")[0])]

    def _write_link(self, words: str) -> JsonObject:
        return _write_markup(f"<{self._link}|{words}>")

    def _build_buttons(self) -> JsonObject:
        elements = list[JsonObject]()
        for decision in list_decisions(self._shown):
            if decision == ANSWER:
                elements += self._build_options()
                if self._request.kind is Kind.CHOICE and not self._request.allowFreeForm:
                    continue
            if decision == "approve" or self._has_modal(decision):
                elements.append(self._build_button(decision))
        if not elements:
            raise DoesNotFit
        # its name is the request's id: no button of it can mean another
        return {"type": "actions", "block_id": self._request.requestId, "elements": [*elements]}

    def _has_modal(self, decision: str) -> bool:
        try:
            self._build_inputs(decision)
        except DoesNotFit:
            return False
        return True

    def _build_button(self, decision: str) -> JsonObject:
        is_open = self._request.kind is Kind.OPEN
        label = "Yes" if is_open and decision == "approve" else _LABELS[decision]
        button: JsonObject = {"type": "button", "action_id": decision, "text": _write_text(label)}
        if decision in _STYLES:
            button["style"] = _STYLES[decision]
        return button | (self._confirm(label) if decision == "approve" else {})

    def _build_options(self) -> list[JsonObject]:
        """Return buttons, or, where they are too many, a select."""
        options = self._request.options
        labels = [_label_option(option) for option in options]
        if len(options) <= MOST_BUTTONS:
            return [
                {
                    "type": "button",
                    "action_id": f"{CHOOSE}:{number}",
                    "text": _write_text(label),
                    "value": option.id,
                    **self._confirm(label),
                }
                for number, (option, label) in enumerate(zip(options, labels, strict=True))
            ]
        select = _build_select(
            [(option.id, label) for option, label in zip(options, labels, strict=True)]
        )
        # one slip in a long list, and it would be decided
        asked_again = {"confirm": _write_confirm("It is decided by what you chose.")}
        return [{**select, "action_id": CHOOSE, **asked_again}]

    def _confirm(self, label: str) -> JsonObject:
        """Return what makes Slack ask again, of what is grave."""
        if self._request.urgency is not Urgency.HIGH:
            return {}
        return {"confirm": _write_confirm(f"Its urgency is high: {label}?")}

    def _build_inputs(self, decision: str) -> list[JsonObject]:
        form = cast("Mapping[str, JsonObject]", build_form(self._shown)["properties"])
        inputs = [
            _build_input(name, schema, is_optional=self._is_optional(decision, name))
            for name, schema in form.items()
            if self._is_asked(decision, name)
        ]
        if not inputs or len(inputs) > MOST_BLOCKS:
            raise DoesNotFit
        return inputs

    def _is_asked(self, decision: str, name: str) -> bool:
        if name.startswith(FIELD):
            return decision in ("edit", ANSWER)
        if name == "text":
            return decision != "edit" and (
                decision != ANSWER or self._request.kind is not Kind.FORM
            )
        return name == "json" and decision == ANSWER

    def _is_optional(self, decision: str, name: str) -> bool:
        if not name.startswith(FIELD):
            return decision == "reject" or self._request.kind is Kind.OPEN
        required = (self._request.responseSchema or {}).get("required")
        is_required = isinstance(required, list) and name.removeprefix(FIELD) in required
        return decision == "edit" or not is_required


def read_filled(values: Mapping[str, Mapping[str, Mapping[str, object]]]) -> dict[str, str]:
    """Return what a modal was filled with, by the names of the form; empty is an empty text."""
    filled = dict[str, str]()
    for name, inputs in values.items():
        for given in inputs.values():
            chosen = cast("Mapping[str, object]", given.get("selected_option") or given)
            filled[name] = str(chosen.get("value") or "")
    return filled


def _describe_part(part: Part) -> JsonObject:
    if part.words is not None:
        return _write_plain(part.words)
    written = json.dumps(part.value, indent=2, ensure_ascii=False)
    # JSON has a second spelling for what would not be seen, or would end the fence
    written = UNSEEN.sub(_escape_json, written).replace("```", r"\u0060\u0060\u0060")
    return _write_markup(f"```{escape(written)}```")


def _escape_json(found: Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


def _name_unseen(text: str) -> str:
    return UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _write_text(text: str, longest: int = LONGEST_LABEL) -> JsonObject:
    """Return a text that has no markup, links or emoji. Raise DoesNotFit."""
    text = _name_unseen(text)
    if len(text) > longest:
        raise DoesNotFit
    return {"type": "plain_text", "text": text, "emoji": False}


def _write_plain(text: str) -> JsonObject:
    return {"type": "section", "text": _write_text(text, LONGEST_TEXT)}


def _write_markup(text: str) -> JsonObject:
    if len(text) > LONGEST_TEXT:
        raise DoesNotFit
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _write_confirm(words: str) -> JsonObject:
    return {
        "title": _write_text("Are you sure?"),
        "text": _write_text(words, 300),
        "confirm": _write_text("Yes"),
        "deny": _write_text("Back"),
    }


def _label_option(option: Option) -> str:
    """Return its label; where that is too long its id, which stands beside it above."""
    return next((one for one in (option.label, option.id) if _is_label(one)), option.label)


def _is_label(text: str) -> bool:
    return len(_name_unseen(text)) <= LONGEST_LABEL


def _build_select(options: Sequence[tuple[str, str]]) -> JsonObject:
    """Return a list of values and their labels. Raise DoesNotFit."""
    built: list[Json] = [{"text": _write_text(label), "value": value} for value, label in options]
    values = [value for value, _ in options]
    if len(built) > MOST_OPTIONS or any(len(value) > LONGEST_VALUE for value in values):
        raise DoesNotFit
    return {"type": "static_select", "options": built}


def _build_input(name: str, schema: JsonObject, *, is_optional: bool) -> JsonObject:
    """Return the box of a form's field, filled with what it is now. Raise DoesNotFit."""
    if len(name) > LONGEST_NAME:
        raise DoesNotFit
    block: JsonObject = {
        "type": "input",
        "block_id": name,
        "label": _write_text(str(schema["title"]), 2000),
        "element": {**_build_element(schema), "action_id": "given"},
        "optional": is_optional,
    }
    if about := schema.get("description"):
        block["hint"] = _write_text(str(about), 2000)
    return block


def _build_element(schema: JsonObject) -> JsonObject:
    default = schema.get("default")
    words = ["true", "false"] if schema["type"] == "boolean" else schema.get("enum")
    written = default if isinstance(default, str) else json.dumps(default)
    if isinstance(words, list):
        select = _build_select([(str(word), str(word)) for word in words])
        chosen = [
            one for one in cast("list[JsonObject]", select["options"]) if one["value"] == written
        ]
        return {**select, **({"initial_option": chosen[0]} if chosen else {})}
    box: JsonObject = {"type": "plain_text_input", "multiline": schema["type"] == "string"}
    if default is None or written == "":
        return box
    # in a box nothing is named, and who knows what comes back of blanks at its ends
    if len(written) > LONGEST_TEXT or UNSEEN.search(written) or written != written.strip():
        raise DoesNotFit
    return {**box, "initial_value": written}
