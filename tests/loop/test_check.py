"""`hitl check`: what is wrong with an agent, where, and what mends it."""

import json
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.repository import ROOT
from tests.terminal.commands import hitl

AGENT = """
import asyncio
import time

from langgraph.errors import GraphBubbleUp
from langgraph.func import task as remembered
from langgraph.types import interrupt

sent = []
question = {{"question": "Go?", "kind": "approval"}}

{code}

agent = {{
    "capabilityId": "broken", "displayName": "Broken", "inputFacets": ["objective"],
    "outputFacets": ["brief"], "facets": {{"brief": {{"type": "string"}}}}, "run": run,
}}
{after}
"""


class Broken(NamedTuple):
    """`at`: what stands in the line that is named. `after`: what is changed of the mapping."""

    code: str
    code_of_exit: int
    says: str
    mend: str
    at: str = ""
    after: str = ""


BROKEN = {
    "wrong facet": Broken(
        'def run(task):\n    return {"breif": "x"}',
        1,
        "did not return brief, which its contract promises",
        "return a mapping with just the names in `outputFacets`",
        'return {"breif"',
    ),
    "wrong schema": Broken(
        'def run(task):\n    return {"brief": 3}',
        1,
        "The facet brief does not fit its schema: /brief breaks the rule `type`",
        "return what `facets` promises",
        'return {"brief": 3}',
    ),
    "no run": Broken(
        "def run(task):\n    pass",
        1,
        "`run` must be a function, a compiled LangGraph graph or a StateGraph, not NoneType",
        "broken.py:agent",
        after='del agent["run"]',
    ),
    "a sync sleep": Broken(
        'async def run(task):\n    time.sleep(0.5)\n    return {"brief": "x"}',
        0,
        "It kept the event loop waiting",
        "write it as `def` instead of `async def`",
        "time.sleep(0.5)",
    ),
    "raises": Broken(
        'def run(task):\n    return {"brief": task["facet"]["objective"]}',
        1,
        "KeyError: 'facet'",
        "catch what may happen",
        'task["facet"]',
    ),
    "swallows the pause": Broken(
        "def run(task):\n    try:\n        interrupt(question)\n    except Exception:\n"
        '        pass\n    return {"brief": "x"}',
        1,
        "Its pause was swallowed",
        "put `except GraphBubbleUp: raise`",
        "interrupt(question)",
    ),
    "a side effect before the question": Broken(
        'def run(task):\n    sent.append(task)\n    interrupt(question)\n    return {"brief": "x"}',
        0,
        "`sent.append(task)` stands before a question, so it runs again after each answer",
        "ask first and act after it",
        "sent.append(task)",
    ),
    "a file that is written before the question": Broken(
        "def run(task):\n    with open('log', 'a') as log:\n        log.write('x')\n"
        '    interrupt(question)\n    return {"brief": "x"}',
        0,
        "`with open('log', 'a') as log:` stands before a question",
        "ask first and act after it",
        "with open",
    ),
    "a helper that acts before the question": Broken(
        "def post():\n    sent.append(1)\n\nasync def run(task):\n    number = post()\n"
        '    interrupt(question)\n    return {"brief": "x"}',
        0,
        "`number = post()` stands before a question",
        "ask first and act after it",
        "number = post()",
    ),
    "returns what is no JSON": Broken(
        'def run(task):\n    return {"brief": object()}',
        1,
        "is not plain JSON",
        "return what JSON knows",
        "object()",
    ),
    "no end": Broken(
        "async def run(task):\n    while True:\n        await asyncio.sleep(0.01)",
        1,
        "took longer than its 1 seconds",
        "let it end",
        "await asyncio.sleep",
    ),
    "no end, and it blocks": Broken(
        "async def run(task):\n    while True:\n        sent.count(1)",
        1,
        "took longer than its 1 seconds, and blocked the event loop",
        "write it as `def` instead of `async def`",
        "sent.count(1)|while True",
    ),
    "no end, in a thread": Broken(
        "def run(task):\n    while True:\n        time.sleep(0.01)",
        1,
        "took longer than its 1 seconds",
        "let it end",
    ),
    "wants a store that is none": Broken(
        "def run(task):\n    pass",
        1,
        "`store` must be a LangGraph store, not str",
        "broken.py:agent",
        after='agent["store"] = "redis://"',
    ),
}


def check(folder: Path, code: str, *arguments: str, after: str = "") -> tuple[int, str]:
    (folder / "broken.py").write_text(AGENT.format(code=code, after=after))
    done: subprocess.CompletedProcess[str] = hitl(
        "check", "broken.py:agent", "--seconds", "1", *arguments, cwd=folder
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_named_with_its_place_and_its_mend(case: str, tmp_path: Path) -> None:
    broken = BROKEN[case]
    code, said = check(tmp_path, broken.code, after=broken.after)
    assert code == broken.code_of_exit, said
    assert broken.says in said
    assert broken.mend in said
    if broken.at:
        lines = (tmp_path / "broken.py").read_text().splitlines()
        places = [int(number) for number in re.findall(r"at \S*broken\.py:(\d+)", said)]
        named = [lines[number - 1] for number in places]
        words = broken.at.split("|")
        assert any(word in line for word in words for line in named), said


@pytest.mark.parametrize(
    "code",
    [
        'def run(task):\n    who = task["objective"].strip()\n    found = [len(who)]\n'
        '    found.append(1)\n    interrupt({**question, "found": found})\n'
        '    sent.append(who)\n    return {"brief": "x"}',
        "def run(task):\n    try:\n        interrupt(question)\n    except GraphBubbleUp:\n"
        '        raise\n    except Exception:\n        pass\n    return {"brief": "x"}',
        "@remembered\ndef post(text):\n    sent.append(text)\n\n"
        'def run(task):\n    post("x").result()\n    interrupt(question)\n'
        '    return {"brief": "x"}',
        'async def run(task):\n    await asyncio.sleep(0.3)\n    return {"brief": "x"}',
        'def run(task):\n    time.sleep(0.3)\n    return {"brief": "x"}',
    ],
    ids=["harmless before it", "lets the pause pass", "a task", "an async sleep", "in a thread"],
)
def test_what_is_whole_has_no_finding(code: str, tmp_path: Path) -> None:
    status, said = check(tmp_path, code)
    assert (status, "0 broken, 0 warnings" in said) == (0, True), said


def test_it_approves_nothing_without_leave(tmp_path: Path) -> None:
    code = (
        'def run(task):\n    if interrupt(question)["approved"]:\n'
        '        raise ValueError("acted")\n    return {"brief": "x"}'
    )
    status, said = check(tmp_path, code)
    assert (status, "acted" in said, "--yes says yes" in said) == (0, False, True)
    status, said = check(tmp_path, code, "--yes")
    assert (status, "ValueError: acted" in said) == (1, True)
    (tmp_path / "answers.json").write_text(json.dumps([True]))
    status, said = check(tmp_path, code, "--answers", "answers.json")
    assert (status, "ValueError: acted" in said) == (1, True)


def test_where_no_yes_fits_the_answer_is_no(tmp_path: Path) -> None:
    code = (
        'action = {"name": "post", "allowedDecisions": ["reject"]}\n\n'
        'def run(task):\n    told = interrupt({**question, "action": action})\n'
        '    return {"brief": told["status"]}'
    )
    status, said = check(tmp_path, code, "--yes")
    assert (status, "1 of them were refused" in said) == (0, True), said


def test_inputs_are_made_up_from_their_schemas(tmp_path: Path) -> None:
    code = (
        "def run(task):\n    source = task['facets']['source']\n"
        "    return {'brief': f\"{source['title']} {source['pages'] - 3}\"}"
    )
    schema = {
        "$ref": "#/$defs/source",
        "$defs": {
            "source": {
                "type": "object",
                "required": ["title", "pages"],
                "properties": {
                    "title": {"type": "string", "minLength": 20},
                    "pages": {"type": "integer", "minimum": 3},
                },
            }
        },
    }
    after = f"agent['inputFacets'] = ['source']\nagent['facets']['source'] = {schema!r}"
    assert check(tmp_path, code, after=after)[0] == 0
    after += "\nagent['facets']['source']['$defs']['source']['not'] = {}"
    status, said = check(tmp_path, code, after=after)
    assert (status, "give --input source=FILE" in said) == (1, True)
    (tmp_path / "source.json").write_text('{"title": "T", "pages": 4}')
    after = "agent['inputFacets'] = ['source']"
    assert check(tmp_path, code, "--input", "source=source.json", after=after)[0] == 0


def test_what_is_kept_in_a_store_is_said(tmp_path: Path) -> None:
    code = 'def run(task, store):\n    store.put(("a",), "b", {})\n    return {"brief": "x"}'
    status, said = check(tmp_path, code)
    assert (status, "keeps things in a store: on a server in Postgres" in said) == (0, True)


def test_the_desk_and_the_example_are_whole(tmp_path: Path) -> None:
    example = str(ROOT / "examples" / "audience.py") + ":agent"
    for entry in (example, "hitl_orchestrator.desk:agents"):
        done = hitl("check", entry, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
