"""What a run's state comes to, as lines and as the HTML of a notebook. Everything is escaped."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from hitl_orchestrator.domain.hitl import HitlRequest, RequestStatus, Settled
from hitl_orchestrator.domain.progress import plan_with_statuses
from hitl_orchestrator.domain.records import Json
from hitl_orchestrator.domain.state import Asked, Delta, Ending, Report, Snapshot

LONGEST_VALUE = 160  # characters; of a longer one the beginning is shown
_ADDED, _GONE, _CHANGED = "+", "−", "~"


class Difference(NamedTuple):
    """What is another than before; None: it was not there, or is no more."""

    part: str
    before: str | None
    after: str | None

    @property
    def sign(self) -> str:
        if self.before is None:
            return _ADDED
        return _GONE if self.after is None else _CHANGED

    def __str__(self) -> str:
        return f"{self.sign} {self.part}"


# of a history: a superstep's number, the nodes that ran, what changed, what waits
Line = tuple[int, Sequence[str], Sequence[Difference], Sequence[HitlRequest]]


@dataclass(frozen=True, repr=False)
class Table:
    """Rows under a head, as text and as HTML."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __repr__(self) -> str:
        return "\n".join("  ".join(row) for row in self.rows)

    def _repr_html_(self) -> str:
        return write_table(self.head, self.rows)


def list_written(delta: Delta) -> list[str]:
    """Return the names of what a node wrote."""
    parts = ["plan"] if delta.plan else []
    parts += [f"facet {name}" for name in delta.facets]
    parts += [f"report of {step}" for step in delta.reports]
    parts += [f"question of {asked.request.stepId}" for asked in delta.questions.values()]
    return [*parts, "result"] if delta.result else parts


def compare(before: Snapshot, after: Snapshot) -> list[Difference]:
    """Return what of the state is another, in the order of its parts."""
    old, new = _list_parts(before), _list_parts(after)
    names = dict.fromkeys([*new, *old])
    return [
        Difference(name, old.get(name), new.get(name))
        for name in names
        if old.get(name) != new.get(name)
    ]


def list_supersteps(supersteps: Iterable[Line]) -> Table:
    """Return a history as a table."""
    rows: list[Sequence[str]] = []
    for number, nodes, changes, waiting in supersteps:
        waits = "; ".join(request.question for request in waiting)
        rows.append((str(number), ", ".join(nodes), ", ".join(map(str, changes)), waits))
    return Table(("superstep", "nodes", "changed", "waits"), rows)


def tell_run(state: Snapshot) -> str:
    """Return the run in lines: its plan, and its outputs."""
    plan = plan_with_statuses(state, running=False)
    lines = [f"plan version {plan.version}"] if plan else ["no plan yet"]
    for step in plan.steps if plan else ():
        lines.append(f"  {step.stepId} {step.label}: {step.status} {step.reason or ''}".rstrip())
    if state.result:
        lines.append(f"outputs: {_write(state.result.result.outputs)}")
    return "\n".join(lines)


def write_run(state: Snapshot, settled: Mapping[str, Settled]) -> str:
    """Write the run as HTML: its plan, what was asked and answered, its outputs."""
    plan = plan_with_statuses(state, running=False)
    steps = [
        (step.stepId, step.label, step.status, step.reason or "")
        for step in (plan.steps if plan else ())
    ]
    questions = [
        (one.request.originAgent, one.request.question, _tell_end(name, one, settled))
        for name, one in state.questions.items()
        if one.repeats is None
    ]
    version = f"plan version {plan.version}" if plan else "no plan yet"
    parts = [write_table((version, "", "status", "reason"), steps)]
    if questions:
        parts.append(write_table(("agent", "asked", "answer"), questions))
    if state.result:
        parts.append(write_table(("output", "value"), _list_result(state.result)))
    return "".join(parts)


def write_superstep(
    title: str,
    svg: str,
    wrote: Mapping[str, Sequence[str]],
    changes: Sequence[Difference],
    waiting: Sequence[HitlRequest],
) -> str:
    """Write a superstep as HTML: the picture, who wrote what, the difference, what waits."""
    parts = [f"<p><b>{escape(title)}</b></p>", svg]
    if wrote:
        rows = [(node, ", ".join(written)) for node, written in wrote.items()]
        parts.append(write_table(("node", "wrote"), rows))
    if changes:
        lines = [(one.sign, one.part, one.before or "", one.after or "") for one in changes]
        parts.append(write_table(("", "state", "before", "after"), lines))
    if waiting:
        asked = [(one.originAgent, one.question, one.kind) for one in waiting]
        parts.append(write_table(("waits", "question", "kind"), asked))
    return "".join(parts)


def write_beside(pages: Mapping[str, str]) -> str:
    """Write pages of HTML side by side, each under its name."""
    cells = [
        f'<div style="flex:1 1 20em;min-width:0"><b>{escape(name)}</b>{page}</div>'
        for name, page in pages.items()
    ]
    return f'<div style="display:flex;flex-wrap:wrap;gap:2em">{"".join(cells)}</div>'


def write_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table of texts as HTML."""
    written = [_write_row("td", row) for row in rows]
    return f"<table>{_write_row('th', head)}{''.join(written)}</table>"


def _write_row(tag: str, cells: Iterable[str]) -> str:
    texts = [f'<{tag} style="text-align:left">{escape(cell)}</{tag}>' for cell in cells]
    return f"<tr>{''.join(texts)}</tr>"


def _list_parts(state: Snapshot) -> dict[str, str]:
    """Return what is in the state, by name."""
    parts: dict[str, str] = {}
    if plan := plan_with_statuses(state):
        parts["plan version"] = str(plan.version)
        for step in plan.steps:
            why = f" ({step.reason})" if step.reason else ""
            parts[f"step {step.stepId}"] = f"{step.label}: {step.status}{why}"
    parts |= {f"facet {name}": _write(facet.value) for name, facet in state.facets.items()}
    parts |= {f"report of {step}": _tell_report(one) for step, one in state.reports.items()}
    for number, asked in enumerate(state.questions.values(), 1):
        parts[f"question {number}"] = _tell_asked(asked)
    if state.result:
        parts["result"] = _write(state.result.json_object())
    return parts


def _tell_report(report: Report) -> str:
    return f"{report.outcome} ({report.reason})" if report.reason else report.outcome


def _tell_asked(asked: Asked) -> str:
    request = asked.request
    why = f" ({request.denialReason})" if request.denialReason else ""
    return f"{request.originAgent} asks “{request.question}”: {request.status}{why}"


def _tell_end(name: str, asked: Asked, settled: Mapping[str, Settled]) -> str:
    if asked.refusal is not None:
        by_guard = asked.request.status is RequestStatus.DENIED
        return f"{'denied' if by_guard else 'rejected'}: {asked.refusal}"
    if name not in settled:
        return asked.request.status
    said = settled[name].answer.json_object().items()
    words = [f"{field}: {_write(value)}" for field, value in said if _is_word(field, value)]
    return ", ".join(words)


def _is_word(field: str, value: Json) -> bool:
    return value is not None and field not in ("status", "responseType")


def _list_result(ending: Ending) -> list[tuple[str, str]]:
    rows = [(name, _write(value)) for name, value in ending.result.outputs.items()]
    rows += [(f"not done: {one.stepId}", one.reason) for one in ending.result.notDone]
    return [*rows, ("error", ending.error.message)] if ending.error else rows


def _write(value: Json) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= LONGEST_VALUE:
        return text
    return f"{text[:LONGEST_VALUE]}… ({len(text):,} characters)"
