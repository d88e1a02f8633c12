"""Asking a person in the terminal for the answer to a question.

Every prompt raises Left when the person skips the question, and Withdrawn when somebody else has
ended it. What is returned is a response as POST /api/hitl/resume takes it.
"""

import json
import os
import shlex
import signal
import subprocess
import tempfile
from pathlib import Path
from shutil import which
from types import FrameType

from rich.text import Text

from hitl_orchestrator.server.terminal.console import Terminal
from hitl_orchestrator.server.terminal.errors import BadInput, ClientError
from hitl_orchestrator.server.terminal.files import parse_json, read_json_object
from hitl_orchestrator.server.terminal.forms import ask_for_form
from hitl_orchestrator.server.terminal.keyboard import Keyboard, Left
from hitl_orchestrator.server.terminal.question_views import number_options
from hitl_orchestrator.server.terminal.text import outline
from hitl_orchestrator.server.terminal.wire import Json, JsonObject, RequestJson, find_option_id

_EDITORS = ("nano", "vi")
_NO_EDITOR = "$VISUAL and $EDITOR are not set, and neither nano nor vi is here: name a file."
_CHOOSING = """  an option: its number, its id or its label
  r: no; you are asked for a reason, which the agent is told
  s: leave the question to others: the run waits, and this command ends"""
_OWN_WORDS = "  anything else: an answer in your own words\n"
_WRITING = """  your answer, in as many lines as you like; an empty line ends it
  r alone: no; you are asked for a reason, which the agent is told
  s alone: leave the question to others: the run waits, and this command ends"""


def ask_for_answer(request: RequestJson, keyboard: Keyboard, terminal: Terminal) -> JsonObject:
    """Return the response that a person types; own words and a rejection are shown back first."""
    while True:
        response = _ask(request, keyboard, terminal)
        if "freeformText" not in response and response.get("approved") is not False:
            return response
        terminal.print(_draw_back(response))
        if keyboard.pick(["yes", "again"]) == "yes":
            return response


def _draw_back(response: JsonObject) -> Text:
    words = response.get("freeformText")
    told = "\n".join(f"  {line}" for line in words.split("\n")) if words else ""
    if response.get("approved") is not False:
        return Text(f"Your answer:\n{told}\nSend it?")
    reason = f" and say why:\n{told}" if told else " without a reason."
    return Text(f"You reject it{reason}\nSend it?")


def _ask(request: RequestJson, keyboard: Keyboard, terminal: Terminal) -> JsonObject:
    match request["kind"]:
        case "approval":
            return _ask_for_decision(request, keyboard, terminal)
        case "choice":
            return _ask_for_choice(request, keyboard, terminal)
        case "freeform":
            return _ask_for_text(keyboard, terminal)
        case "form":
            schema = request.get("responseSchema") or {}
            return ask_for_form(schema, keyboard, terminal) or _ask_for_rejection(keyboard)
        case "open":
            return _ask_for_anything(request, keyboard, terminal)


def _ask_for_decision(request: RequestJson, keyboard: Keyboard, terminal: Terminal) -> JsonObject:
    action = request.get("action")
    original = action.get("arguments", {}) if action else {}
    arguments = original
    while True:
        match keyboard.pick(_list_decisions(request, is_edited=arguments != original)):
            case "approve" if arguments != original:
                return {"approved": True, "editedArguments": arguments}
            case "approve":
                return {"approved": True}
            case "edit":
                arguments = _edit_arguments(arguments, keyboard, terminal)
            case "reject":
                return _ask_for_rejection(keyboard)
            case _:
                return {"freeformText": keyboard.read_lines()}


def _list_decisions(request: RequestJson, is_edited: bool) -> list[str]:
    """Return the verbs that the question allows; what was edited can be approved."""
    action = request.get("action")
    if not action:
        return ["approve", "reject"]
    allowed = action.get("allowedDecisions", ["approve", "edit", "reject"])
    verbs: list[str] = []
    if is_edited or "approve" in allowed:
        verbs.append("approve")
    if "edit" in allowed:
        verbs.append("edit")
    if "reject" in allowed:
        verbs.append("reject")
    if "respond" in allowed:
        verbs.append("text")
    return verbs


def _edit_arguments(arguments: JsonObject, keyboard: Keyboard, terminal: Terminal) -> JsonObject:
    """Return them as edited or read from a file; as they were if the person gives that up."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "arguments.json"
        file.write_text(json.dumps(arguments, indent=2, ensure_ascii=False) + "\n", "utf-8")
        while True:
            try:
                edited = read_json_object(_ask_for_file(file, keyboard))
            except ClientError as error:
                terminal.say(error.detail, "red")
                if keyboard.pick(["again", "drop"]) == "drop":
                    return arguments
            else:
                shown = Text("\n".join(outline(edited, "  ")))
                terminal.print(Text("Approving now sends:"), shown, sep="\n")
                return edited


def _ask_for_file(file: Path, keyboard: Keyboard) -> str:
    """Return `file`, edited; without an editor, the file that the person names."""
    editor = _find_editor()
    if not editor:
        return keyboard.read_line("A file with the JSON arguments: ", _NO_EDITOR).strip()
    _run_editor(editor, file)
    return str(file)


def _find_editor() -> str | None:
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    return named or next(filter(which, _EDITORS), None)


def _run_editor(editor: str, file: Path) -> None:
    before = signal.signal(signal.SIGINT, _ignore)  # Ctrl-C is the editor's
    try:
        subprocess.run([*shlex.split(editor), file], check=True)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise BadInput(f"The editor {editor!r} failed: {error}") from error
    finally:
        signal.signal(signal.SIGINT, before)


def _ignore(_signal: int, _frame: FrameType | None) -> None:
    pass


def _ask_for_choice(request: RequestJson, keyboard: Keyboard, terminal: Terminal) -> JsonObject:
    options, is_free = request.get("options", []), request.get("allowFreeForm", False)
    ids = {key: option["id"] for key, option in number_options(options)}
    words = ", or your own words" if is_free else ""
    explanation = f"{_OWN_WORDS}{_CHOOSING}" if is_free else _CHOOSING
    while True:
        prompt = f"Your choice{words}; reject (r), skip (s), help (?): "
        typed = keyboard.read_line(prompt, explanation).strip()
        if chosen := find_option_id(options, typed) or ids.get(typed):
            return {"selectedOptionId": chosen}
        if _is_rejection(typed):
            return _ask_for_rejection(keyboard)
        if typed and is_free and not typed.isdigit():
            return {"freeformText": typed}
        terminal.say("That is not one of the options.", "red")


def _ask_for_text(keyboard: Keyboard, terminal: Terminal) -> JsonObject:
    terminal.say(
        "Your answer; an empty line ends it. "
        "To reject or skip, begin with a line that is only r or s; ? is help."
    )
    while not (first := keyboard.read_line("> ", _WRITING)).strip():
        pass
    if _is_rejection(first):
        return _ask_for_rejection(keyboard)
    return {"freeformText": keyboard.read_lines(first)}


def _ask_for_anything(request: RequestJson, keyboard: Keyboard, terminal: Terminal) -> JsonObject:
    verbs = ["approve", "text", "json", "reject"]
    if request.get("options"):
        verbs.insert(1, "choose")
    match keyboard.pick(verbs):
        case "approve":
            return {"approved": True}
        case "choose":
            return _ask_for_choice(request, keyboard, terminal)
        case "text":
            return {"freeformText": keyboard.read_lines()}
        case "json":
            return {"data": _ask_for_json(keyboard, terminal)}
        case _:
            return _ask_for_rejection(keyboard)


def _ask_for_json(keyboard: Keyboard, terminal: Terminal) -> Json:
    while True:
        try:
            return parse_json(keyboard.read_line("The answer as JSON: "))
        except (ValueError, RecursionError) as error:
            terminal.say(f"That is not JSON: {error}", "red")


def _is_rejection(typed: str) -> bool:
    """Return whether the question is rejected rather than answered. Raises Left for skip."""
    word = typed.strip().lower()
    if word in ("s", "skip"):
        raise Left
    return word in ("r", "reject")


def _ask_for_rejection(keyboard: Keyboard) -> JsonObject:
    reason = keyboard.read_line("The reason (may be empty): ").strip()
    if reason:
        return {"approved": False, "freeformText": reason}
    return {"approved": False}
