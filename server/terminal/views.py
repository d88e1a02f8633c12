"""What a person sees and types in a terminal. What agents wrote is shown as text, never obeyed: no
markup, no escape sequences.
"""

import json
import math
import os
import queue
import shlex
import signal
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, cast

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.segment import Segment
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from hitl_orchestrator.server.terminal.client import (
    ENDED,
    LAST_FRAMES,
    Api,
    BadInput,
    ClientError,
    Frame,
    Json,
    JsonObject,
    Option,
    PausedRun,
    Refused,
    Request,
    Result,
    Run,
    Step,
    clean,
    json_in,
    json_of,
    object_of,
    option_id,
    pending,
)

LOOK_SECONDS = 0.25
_WIDE_ENOUGH = 200  # for what no terminal shows: nothing is cut
_GLYPHS = {
    "pending": ("○", "dim"), "running": ("●", "cyan"), "awaiting_hitl": ("?", "bold yellow"), "completed": ("✔", "green"),
    "denied": ("✘", "yellow"), "failed": ("✘", "red"), "skipped": ("–", "dim"),
}  # fmt: skip
_STATUS_STYLES = {
    "awaiting_hitl": "bold yellow",
    "completed": "green",
    "failed": "red",
    "cancelled": "red",
    "pending": "bold yellow",
}
_FRAME_STYLES = {"warning": "yellow", "error": "red", "complete": "green", "handoff": "default"}
_URGENCY_STYLES = {"high": "red", "normal": "yellow", "low": "blue"}


class Terminal(Console):
    """Everything that is printed passes `render`: the one place where what could steer a terminal
    is taken out.
    """

    def __init__(self, file: TextIO | None = None, **options: Any) -> None:
        super().__init__(file=file, markup=False, emoji=False, highlight=False, **options)
        if not self.is_terminal and "width" not in options:
            self.width = _WIDE_ENOUGH

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(clean(segment.text), segment.style)

    def say(self, text: str, style: str = "") -> None:
        """One line whatever is in it, and never wrapped: it can be copied."""
        self.print(Text(_one_line(text), style), soft_wrap=True)


# Views


def plan_view(steps: Iterable[Step], live: bool = False) -> RenderableType:
    """A list whose steps tick off."""
    table = Table.grid(padding=(0, 1))
    for step in steps:
        glyph, style = _GLYPHS.get(step["status"], ("·", ""))
        mark = (
            Spinner("dots", style=style)
            if live and step["status"] == "running"
            else Text(glyph, style)
        )
        reason = f" ({_one_line(str(step.get('reason')))})" if step.get("reason") else ""
        table.add_row(
            mark, Text(_one_line(step["label"])), Text(f"{step['capabilityId']}{reason}", "dim")
        )
    return table


def frame_line(frame: Frame) -> Text:
    time = datetime.fromisoformat(frame["at"]).astimezone().strftime("%H:%M:%S")
    return Text.assemble(
        (time, "dim"),
        "  ",
        (f"{frame['type']:<11} {_one_line(_told(frame))}", _FRAME_STYLES.get(frame["type"], "dim")),
    )


def _told(frame: Frame) -> str:
    data, message = frame["data"], frame["message"]
    hitl: JsonObject | None = data.get("hitl")
    if hitl and message == "occurred":
        return f"{_answerer(hitl)} ({hitl['requestId']})"
    if hitl and message == "denied":
        return f"{data['from']} may not ask: {hitl['denialReason']} ({hitl['question']})"
    if hitl:
        return f"{data['from']} asks: {hitl['question']} ({hitl['requestId']})"
    if frame["type"] == "complete" and data.get("reason"):
        return f"{message}: {data['reason']}"
    return message


def _answerer(hitl: JsonObject) -> str:
    """What became of a question, from an `occurred` frame: an answer's or a denial's words are not
    repeated at length.
    """
    if hitl["status"] == "denied":
        return f"denied: {hitl.get('denialReason')}"
    response: JsonObject = hitl.get("response") or {}
    who: JsonObject = response.get("responder") or {}
    done = (
        f"rejected: {response.get('reason')}" if response.get("status") == "denied" else "answered"
    )
    return f"{done} by {who.get('displayName') or who['id']}" if who else done


def question_view(request: Request, boxed: bool) -> RenderableType:
    """A question with all that is needed to decide it. `boxed`: a panel of the terminal's width,
    Markdown rendered.
    """
    summary, action, context = (
        request["contractSummary"],
        request["action"],
        request["additionalContext"],
    )
    parts: list[RenderableType] = [Text(request["question"], "bold")]
    if context:
        parts += [Text(), _markdown(context) if boxed else Text(context)]
    if action:
        parts += [
            Text(),
            Text.assemble("The action: ", (_one_line(action["name"]), "bold")),
            Text("\n".join(_outline(action["arguments"], "  "))),
        ]
    if request["options"]:
        parts += [Text(), _options_view(request["options"])]
    if request["responseSchema"]:
        parts += [
            Text(),
            Text("The form, as JSON Schema:"),
            Text("\n".join(_outline(request["responseSchema"], "  "))),
        ]
    parts += [Text(), Text(request["operatorPrompt"], "italic"), Text(
        f"{summary['capabilityId']} takes {', '.join(summary['facets']['input']) or 'nothing'}"
        f" and makes {', '.join(summary['facets']['output'])}" + _expiry(request), "dim",
    )]  # fmt: skip
    if not boxed:
        return Group(*parts)
    title = Text(_one_line(f" {request['originAgent']} asks · {request['urgency']} "))
    subtitle = Text(f" {_one_line(request['requestId'])} ")
    return Panel(
        Group(*parts),
        title=title,
        subtitle=subtitle,
        border_style=_URGENCY_STYLES.get(request["urgency"], ""),
        padding=(1, 2),
    )


def _markdown(text: str) -> RenderableType:
    from rich.markdown import (
        Markdown,
    )  # takes as long to import as the rest of rich, and most commands show none

    return Markdown(text, hyperlinks=False)  # a link shows where it leads


def _options_view(options: list[Option]) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    for key, option in _numbered(options):
        label = Text.assemble(
            (option["label"], "bold"),
            f" — {option['description']}" if option.get("description") else "",
        )
        table.add_row(Text(f"{key})"), label, Text(_one_line(option["id"]), "dim"))
    return table


def _numbered(options: list[Option]) -> list[tuple[str, Option]]:
    """With what a person types for each: its number, or its id where ids could be taken for
    numbers.
    """
    own = any(option["id"].isdigit() for option in options)
    return [
        (option["id"] if own else str(number), option) for number, option in enumerate(options, 1)
    ]


def _expiry(request: Request) -> str:
    expires = request["expiresAt"]
    return (
        f"; expires {datetime.fromisoformat(expires).astimezone():%Y-%m-%d %H:%M:%S}"
        if expires
        else ""
    )


def request_view(request: Request, boxed: bool) -> RenderableType:
    """A question and what became of it."""
    table = _facts(
        {
            "Request": request["requestId"],
            "Run": request["runId"],
            "Status": request["status"],
            "Kind": request["kind"],
        }
    )
    if request["status"] == "pending":
        table.add_row(Text("Answer it", "dim"), Text(answer_command(request)))
    for response in request["responses"]:
        given = {
            name: value
            for name, value in response.items()
            if value not in (None, {}, []) and name != "requestId"
        }
        table.add_row(Text("Response", "dim"), Text("\n".join(_outline(given))))
    if request["denialReason"]:
        table.add_row(Text("Denied", "dim"), Text(request["denialReason"]))
    return Group(table, Text(), question_view(request, boxed))


def run_view(run: Run) -> RenderableType:
    parts: list[RenderableType] = [
        _facts(
            {
                "Run": run["runId"],
                "Thread": run["threadId"],
                "Status": run["status"],
                "Objective": run["objective"],
            }
        )
    ]
    if run["plan"]:
        parts += [
            Text(),
            Text(f"Plan, version {run['plan']['version']}", "bold"),
            plan_view(run["plan"]["steps"]),
        ]
    if run["requests"]:
        table = _table("Request", "Status", "Agent", "Question")
        for request in run["requests"]:
            status = (
                f"{request['status']}: {request['denialReason']}"
                if request["denialReason"]
                else request["status"]
            )
            _add_row(
                table, request["requestId"], status, request["originAgent"], request["question"]
            )
        parts += [Text(), table]
    if run["status"] in ENDED:
        parts += [Text(), result_view(run)]
    return Group(*parts)


def result_view(run: Run) -> RenderableType:
    """How a run ended: what it made, and what it did not and why."""
    parts: list[RenderableType] = [
        Text.assemble(
            "The run is ", (run["status"], _STATUS_STYLES.get(run["status"], "")), _ending(run)
        )
    ]
    result = run["result"] or Result(outputs={}, notDone=[])
    for facet, value in result["outputs"].items():
        files = _files(value)
        title = Text.assemble((facet, "bold"), ", in the server's outbox" if files else "")
        parts += [Text(), title, Text("\n".join(files or _outline(value, "  ")))]
    if result["notDone"]:
        parts += [Text(), Text("Not done", "bold yellow")]
        parts += [
            Text(f"  {_one_line(step['capabilityId'])}: {_one_line(step['reason'])}")
            for step in result["notDone"]
        ]
    return Group(*parts)


def _ending(run: Run) -> str:
    if run["error"]:
        return f": {run['error']['message']}"
    log: list[JsonObject] = run["metadata"].get("auditLog") or []
    return (
        f": {log[-1]['reason']}"
        if run["status"] == "cancelled" and log and log[-1].get("reason")
        else "."
    )


def _files(value: Json) -> list[str]:
    """Of a facet that names files in a folder of the outbox, one line each."""
    facet = cast(JsonObject, value if isinstance(value, dict) else {})
    files = cast(list[Json], facet.get("files") if isinstance(facet.get("files"), list) else [])
    return [
        f"  {facet.get('folder')}/{file['file']}"
        for file in files
        if isinstance(file, dict) and "file" in file
    ]


def pending_view(runs: list[PausedRun], now: datetime) -> RenderableType:
    table = _table("Request", "Urgency", "Waits", "Kind", "Agent", "Question")
    for request in (request for run in runs for request in run["pendingRequests"]):
        waits = (
            _age((now - datetime.fromisoformat(request["createdAt"])).total_seconds())
            if request["createdAt"]
            else ""
        )
        _add_row(
            table,
            request["requestId"],
            request["urgency"],
            waits,
            request["kind"],
            request["originAgent"],
            request["question"],
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.columns[0].no_wrap = True  # the id can be copied
    return table


def _add_row(table: Table, *cells: str) -> None:
    table.add_row(*(Text(_one_line(cell)) for cell in cells))


def _facts(facts: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row(
            Text(name, "dim"),
            Text(_one_line(value), _STATUS_STYLES.get(value, "") if name == "Status" else ""),
        )
    return table


def _outline(value: Json, indent: str = "") -> Iterator[str]:
    """JSON for reading: one line a value, an indented block for a text of several lines."""
    if isinstance(value, dict) and value:
        for name, item in cast(JsonObject, value).items():
            first, *more = _outline(item, f"{indent}  ")
            inline = not more and not (item and isinstance(item, dict | list))
            yield from (
                [f"{indent}{_one_line(name)}: {first.strip()}"]
                if inline
                else [f"{indent}{_one_line(name)}:", first, *more]
            )
    elif isinstance(value, list) and value:
        for item in cast(list[Json], value):
            first, *more = _outline(item, f"{indent}  ")
            yield from (f"{indent}- {first[len(indent) + 2 :]}", *more)
    elif isinstance(value, str) and value:
        yield from (f"{indent}{line}" for line in value.split("\n"))
    else:
        yield indent + json.dumps(value)


def _one_line(text: str) -> str:
    return " ".join(clean(text).split())


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"


def answer_command(request: Request) -> str:
    """What answers this question from any terminal, but for the answer itself."""
    how = {
        "approval": "--approve (or --reject)",
        "choice": "--option ID",
        "freeform": "--text TEXT",
        "form": "--data FILE",
    }
    return f"hitl answer {shlex.quote(request['requestId'])} {how[request['kind']]}"


# Prompts


class Left(Exception):
    """The person leaves the question to somebody else."""


class Withdrawn(Exception):
    """Somebody else has ended the question, or the run."""


class Keyboard:
    """Lines that a person types about one question at a time. The wait for a line ends when a frame
    says that the question has ended.
    """

    def __init__(self) -> None:
        self._request: Request | None = None
        self._over = set[str]()
        self._run_is_over = False
        with suppress(ImportError):
            import readline  # from here on input() edits its line

            readline.parse_and_bind("tab: self-insert")
        signal.signal(signal.SIGALRM, self._look)

    def heard(self, frame: Frame) -> None:
        """Called by the thread that reads the frames."""
        if frame["message"] == "occurred" and "hitl" in frame["data"]:
            self._over.add(frame["data"]["hitl"]["requestId"])
        self._run_is_over = self._run_is_over or frame["type"] in LAST_FRAMES

    def turn_to(self, request: Request) -> None:
        self._request = request
        termios.tcflush(
            sys.stdin, termios.TCIFLUSH
        )  # what was typed before the question was seen is no answer to it

    def line(self, prompt: str) -> str:
        """Raises Left at the end of input, and Withdrawn."""
        # Not one signal by the other thread: readline misses one that comes between its prompt and
        # its wait, Ctrl-C too.
        signal.setitimer(signal.ITIMER_REAL, LOOK_SECONDS, LOOK_SECONDS)
        try:
            return input(prompt)
        except EOFError:
            print()  # noqa: T201
            raise Left from None
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _look(self, _signal: int, _frame: FrameType | None) -> None:
        """Also inside input()."""
        if self._run_is_over or (self._request and self._request["requestId"] in self._over):
            raise Withdrawn


def answer_to(request: Request, keyboard: Keyboard, terminal: Terminal) -> JsonObject:
    """The response a person types, as POST /api/hitl/resume takes it. Raises Left and Withdrawn."""
    ask = {"approval": _decision, "choice": _choice, "freeform": _freeform, "form": _form}[
        request["kind"]
    ]
    return ask(request, keyboard, terminal)


def _decision(request: Request, keyboard: Keyboard, terminal: Terminal) -> JsonObject:
    action = request["action"]
    allowed = action["allowedDecisions"] if action else ["approve", "reject"]
    arguments = original = action["arguments"] if action else {}
    while True:
        edited = arguments != original
        offered = {
            "approve": edited or "approve" in allowed,
            "edit": "edit" in allowed,
            "reject": "reject" in allowed,
            "text": "respond" in allowed,
        }
        match _pick(keyboard, [verb for verb, is_offered in offered.items() if is_offered]):
            case "approve":
                return {"approved": True} | ({"editedArguments": arguments} if edited else {})
            case "edit":
                arguments = _edited(arguments, keyboard, terminal)
            case "reject":
                return _rejection(keyboard)
            case _:
                return {"freeformText": _several_lines(keyboard)}


def _edited(arguments: JsonObject, keyboard: Keyboard, terminal: Terminal) -> JsonObject:
    """In the person's editor, else read from a file; as they were if that is given up."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "arguments.json"
        file.write_text(json.dumps(arguments, indent=2, ensure_ascii=False) + "\n", "utf-8")
        while True:
            try:
                edited = object_of(
                    _edit(editor, file)
                    if editor
                    else keyboard.line("A file with the JSON arguments: ").strip()
                )
            except ClientError as error:
                terminal.say(error.detail, "red")
                if _pick(keyboard, ["again", "drop"]) == "drop":
                    return arguments
            else:
                terminal.print(
                    Text("Approving now sends:"), Text("\n".join(_outline(edited, "  "))), sep="\n"
                )
                return edited


def _edit(editor: str, file: Path) -> str:
    before = signal.signal(signal.SIGINT, _ignore)  # Ctrl-C is the editor's
    try:
        subprocess.run([*shlex.split(editor), file], check=True)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise BadInput(f"The editor {editor!r} failed: {error}") from error
    finally:
        signal.signal(signal.SIGINT, before)
    return str(file)


def _ignore(_signal: int, _frame: FrameType | None) -> None:
    pass


def _choice(request: Request, keyboard: Keyboard, terminal: Terminal) -> JsonObject:
    options, free = request["options"], request["allowFreeForm"]
    keys = {key: option["id"] for key, option in _numbered(options)}
    while True:
        typed = keyboard.line(
            f"Your choice{', or your own words' if free else ''}; reject (r) or skip (s)? "
        ).strip()
        if chosen := option_id(options, typed) or keys.get(typed):
            return {"selectedOptionId": chosen}
        if end := _other_end(typed, keyboard):
            return end
        if typed and free and not typed.isdigit():
            return {"freeformText": typed}
        terminal.say("That is none of the options.", "red")


def _freeform(request: Request, keyboard: Keyboard, terminal: Terminal) -> JsonObject:
    terminal.say(
        "Your answer; an empty line ends it. To reject or skip, begin with a line that is only r or s."
    )
    while not (first := keyboard.line("> ")).strip():
        pass
    return _other_end(first, keyboard) or {"freeformText": _several_lines(keyboard, first)}


def _form(request: Request, keyboard: Keyboard, terminal: Terminal) -> JsonObject:
    schema = request["responseSchema"] or {}
    required: list[str] = schema.get("required") or []
    simple = _simple_properties(schema)
    match _pick(keyboard, [*(["fill in"] if simple else []), "json file", "reject"]):
        case "fill in":
            names = [
                *(name for name in required if name in simple),
                *(name for name in simple if name not in required),
            ]
            filled = {
                name: _field(name, simple[name], name in required, keyboard, terminal)
                for name in names
            }
            return {"data": {name: value for name, value in filled.items() if value is not None}}
        case "json file":
            return {"data": _from_file(keyboard, terminal)}
        case _:
            return _rejection(keyboard)


def _from_file(keyboard: Keyboard, terminal: Terminal) -> Json:
    while True:
        try:
            return json_of(keyboard.line("The file: ").strip())
        except BadInput as error:
            terminal.say(error.detail, "red")


def _simple_properties(schema: JsonObject) -> dict[str, JsonObject]:
    """The properties of an object schema if a line can hold each, else none."""
    properties: JsonObject = schema.get("properties") or {}
    return (
        properties
        if all(
            isinstance(part, dict) and _reader(cast(JsonObject, part))
            for part in properties.values()
        )
        else {}
    )


def _field(
    name: str, schema: JsonObject, required: bool, keyboard: Keyboard, terminal: Terminal
) -> Json:
    """None: left out."""
    choices: list[Json] = schema.get("enum") or (
        [True, False] if schema.get("type") == "boolean" else []
    )
    title = f"{name} — {schema['description']}" if schema.get("description") else name
    hints = (
        [" / ".join(_shown(choice) for choice in choices)] if choices else [str(schema.get("type"))]
    )
    hints += (
        [f"Enter for {_shown(schema['default'])}"]
        if "default" in schema
        else []
        if required
        else ["may be empty"]
    )
    while True:
        typed = keyboard.line(_one_line(f"{title} ({'; '.join(hints)}): ") + " ")
        if not typed.strip() and ("default" in schema or not required):
            return schema.get("default")
        try:
            return _READERS[_reader(schema)](typed, choices)
        except ValueError as error:
            terminal.say(str(error), "red")


def _reader(schema: JsonObject) -> str:
    """Which of `_READERS` reads such a value; empty if none does."""
    kind = "enum" if "enum" in schema else str(schema.get("type"))
    return kind if kind in _READERS else ""


def _read_choice(typed: str, choices: list[Json]) -> Json:
    for choice in choices:
        shown = _shown(choice).casefold()
        if typed.strip().casefold() in ([shown, shown[0]] if isinstance(choice, bool) else [shown]):
            return choice
    raise ValueError("That is none of the values.")


def _read_number(typed: str, _: list[Json]) -> float:
    try:
        number = json_in(typed.strip())
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise ValueError("That is no number.")
    return number


def _read_integer(typed: str, _: list[Json]) -> int:
    number = _read_number(typed, [])
    if not isinstance(number, int):
        raise ValueError("That is no whole number.")
    return number


_READERS: dict[str, Callable[[str, list[Json]], Json]] = {
    "enum": _read_choice, "boolean": _read_choice, "integer": _read_integer, "number": _read_number, "string": lambda typed, _: typed,
}  # fmt: skip


def _shown(value: Json) -> str:
    return (
        {True: "yes", False: "no"}[value]
        if isinstance(value, bool)
        else value
        if isinstance(value, str)
        else json.dumps(value)
    )


def _pick(keyboard: Keyboard, verbs: list[str]) -> str:
    """One of the verbs, by its first letter or in full. Skipping is always possible."""
    offered = [*verbs, "skip"]
    prompt = ", ".join(f"{verb} ({verb[0]})" for verb in offered) + "? "
    while True:
        typed = keyboard.line(prompt).strip().lower()
        for verb in offered:
            if typed in (verb, verb[0]):
                if verb == "skip":
                    raise Left
                return verb


def _other_end(typed: str, keyboard: Keyboard) -> JsonObject | None:
    """Any question can be skipped or rejected."""
    if typed.strip().lower() in ("s", "skip"):
        raise Left
    return _rejection(keyboard) if typed.strip().lower() in ("r", "reject") else None


def _rejection(keyboard: Keyboard) -> JsonObject:
    reason = keyboard.line("The reason (may be empty): ").strip()
    return {"approved": False} | ({"freeformText": reason} if reason else {})


def _several_lines(keyboard: Keyboard, first: str = "") -> str:
    lines = [first] if first else []
    while (line := keyboard.line("> ")).strip() or not lines:
        lines.append(line)
    return "\n".join(lines)


# Following a run


def follow(api: Api, run: Run, operator: str | None, terminal: Terminal) -> Run:
    """The run live, its questions answered here, until it has ended or the person leaves a
    question.
    """
    keyboard = Keyboard()
    feed = Feed(api, run["runId"], keyboard)
    feed.start()
    while True:
        run = _watch(api, run, feed, terminal)
        if feed.ended:
            return run
        request = pending(run)[0]
        try:
            _settle(api, request, operator, keyboard, terminal)
        except Left:
            terminal.say(f"Left pending. Answer it with: {answer_command(request)}")
            return run
        run = api.run(run["runId"])


class Feed(threading.Thread):
    """Reads the frames of a run while the main thread shows them or waits for a person."""

    def __init__(self, api: Api, run_id: str, keyboard: Keyboard) -> None:
        super().__init__(daemon=True)
        self.ended = False
        self._api, self._run_id, self._keyboard = api, run_id, keyboard
        self._frames = queue.SimpleQueue[Frame | None]()
        self._failure: ClientError | None = None

    def run(self) -> None:
        try:
            for frame in self._api.frames(self._run_id):
                self._frames.put(frame)
                self._keyboard.heard(frame)
        except ClientError as error:
            self._failure = error
        finally:
            self._frames.put(None)

    def take(self, wait: bool) -> list[Frame]:
        """All that have come; if it is to wait, at least one or the end. Raises the ClientError
        that broke the stream.
        """
        frames = [self._frames.get()] if wait else []
        while not self._frames.empty():
            frames.append(self._frames.get())
        self.ended = None in frames
        if self._failure:
            raise self._failure
        return [frame for frame in frames if frame]


def _watch(api: Api, run: Run, feed: Feed, terminal: Terminal) -> Run:
    """Shows the plan, and the frames above it, until the run asks or has ended."""
    with Live(_progress(run), console=terminal, transient=True, refresh_per_second=8) as live:
        while True:
            for frame in feed.take(wait=not pending(run)):
                terminal.print(frame_line(frame))
            if pending(run) and not feed.ended:
                return run
            run = api.run(run["runId"])
            live.update(_progress(run))
            if feed.ended:
                return run


def _progress(run: Run) -> RenderableType:
    steps = plan_view(run["plan"]["steps"], live=True) if run["plan"] else Text("planning …", "dim")
    return Group(steps, Text(f"{run['runId']} · {run['status']} · Ctrl-C leaves it going", "dim"))


def _settle(
    api: Api, request: Request, operator: str | None, keyboard: Keyboard, terminal: Terminal
) -> None:
    """Ask until an answer is taken, or somebody else's was."""
    keyboard.turn_to(request)
    terminal.print(question_view(request, boxed=True))
    while True:
        try:
            api.resume(request, answer_to(request, keyboard, terminal), operator)
        except Withdrawn:
            terminal.print()
            return terminal.say("Somebody else has ended this question.", "yellow")
        except Refused as error:
            terminal.say(error.detail, "red")
            if error.status == 409:
                return None
            if error.status not in (413, 422):
                raise
        else:
            return None


def read_along(api: Api, run: Run, terminal: Terminal) -> Run:
    """A line for each frame, until the run has ended or needs a person: then its questions are
    printed.
    """
    for frame in api.frames(run["runId"]):
        terminal.print(frame_line(frame), soft_wrap=True)
        if "hitl" in frame["data"] and frame["message"] == "requested":
            run = api.run(run["runId"], wait_seconds=5)
            for request in pending(run):
                terminal.print(Text(), question_view(request, boxed=False), Text(), sep="\n")
                terminal.say(f"Answer it with: {answer_command(request)}")
            if pending(run):
                return run
    return api.run(run["runId"])
