"""Somebody at a desk with a folder, a terminal and a server."""

import json
import subprocess
from pathlib import Path

from hitl_orchestrator.server.terminal.client import Api
from hitl_orchestrator.server.terminal.discovery import Server
from hitl_orchestrator.server.terminal.wire import RunJson
from tests.processes import Running
from tests.terminal.commands import hitl

RELEASE = """# Lumen changelog

## 2.0.0

### Added
- **Export to CSV** for every report, so that finance can work with the figures at once.
- An API for reports, with an SDK for Python.
- Keyboard shortcuts in the editor.

### Fixed
- Imports of large files no longer time out.
"""


# Agents that only ask: what they are told is what they make.
ASKING = """
import asyncio
from langgraph.types import interrupt

def asking(facet, **question):
    def run(task):
        answer = interrupt({"question": f"What about {facet}?", "kind": "freeform", **question})
        told = answer.get("data") or answer.get("freeformText") or answer.get("selectedOptionId")
        return {facet: told or answer["reason"]}
    return {
        "capabilityId": f"asks.{facet}", "displayName": facet,
        "inputFacets": ["objective"], "outputFacets": [facet], "facets": {facet: {}}, "run": run,
    }

words = asking("words")
foods = [{"id": "a", "label": "Apples"}, {"id": "b", "label": "Bread"}]
open_choice = asking("open_choice", kind="choice", allowFreeForm=True, options=foods)
def anything(task):
    return {"anything": [interrupt({"message": "Age?", "options": ["old", "young"], "sum": 900})]}

anything = {
    "capabilityId": "asks.anything", "displayName": "anything", "inputFacets": ["objective"],
    "outputFacets": ["anything"], "run": anything,
}
form = asking("form", kind="form", responseSchema={
    "type": "object", "required": ["name", "seats"], "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "maxLength": 10, "pattern": "^[A-Z]", "title": "Guest",
            "description": "who comes"},
        "seats": {"type": "integer", "minimum": 1},
        "day": {"enum": ["Monday", 2]},
        "price": {"type": "number"},
        "vegan": {"type": "boolean", "default": False},
    }})

def publish(task):
    answer = interrupt({
        "question": "Publish?", "kind": "approval",
        "action": {"name": "publish", "arguments": {"posts": [
            {"channel": "x", "text": "Lumen 2.0.0 is out."},
            {"channel": "email", "text": "Lumen 2.0.0 exports."}]}},
        "additionalContext": "The review passed.\\n\\nLumen 2.0.0 is out.\\n\\n"
            "Lumen 2.0.0 exports.",
    })
    return {"posted": answer["editedArguments"] or answer["approved"]}

posted = {**words, "capabilityId": "asks.posted", "outputFacets": ["posted"], "facets": {},
    "run": publish}

def break_off(task):
    raise ValueError("broken as asked")

broken = {**words, "capabilityId": "asks.broken", "outputFacets": ["broken"], "facets": {},
    "run": break_off}

tries = []

def fail_once(task):
    tries.append(1)
    if len(tries) == 1:
        raise ValueError("not yet")
    return {"mended": interrupt({"question": "Now?", "kind": "freeform"})["freeformText"]}

mended = {**words, "capabilityId": "asks.mended", "outputFacets": ["mended"], "facets": {},
    "run": fail_once}

async def tell(task, writer):
    writer({"text": "page 1 of 2"})
    await asyncio.sleep(1.5)
    writer("page 2 of 2")
    return {"told": True}

told = {**words, "capabilityId": "asks.told", "outputFacets": ["told"], "facets": {}, "run": tell}
nested = asking("nested", kind="form", responseSchema={
    "type": "object", "properties": {"tags": {"type": "array"}},
})
"""
ASKING_AGENTS = (
    *("words", "open_choice", "anything", "form", "nested"),
    *("broken", "mended", "told", "posted"),
)


def asked(facet: str) -> list[str]:
    return ["run", "--objective", "x", "--output", facet]


class Desk:
    """The live server, from a folder with a source to announce."""

    def __init__(self, server: Running, folder: Path) -> None:
        self.folder = folder
        self.variables = {
            "HITL_URL": server.url,
            "API_KEY": server.api_key,
            "USER": "ann",
            "LOGNAME": "ann",
        }
        self.api = Api(Server(server.url, server.api_key))
        (folder / "CHANGELOG.md").write_text(RELEASE)
        (folder / "audience.txt").write_text("developers")
        (folder / "channels.json").write_text('["x", "linkedin"]')
        self.start = ["run", "--objective", "Announce this release"]
        self.start += ["--input", "source=CHANGELOG.md", "--input", "channels=channels.json"]
        self.start_with_audience = [*self.start, "--input", "audience=audience.txt"]

    def hitl(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return hitl(*arguments, cwd=self.folder, **{**self.variables, **variables})

    def at_rest(self, run_id: str) -> RunJson:
        """The run once it has paused or ended."""
        return self.api.run(run_id, wait_seconds=25)

    def paused(self, *start: str) -> RunJson:
        """A run that waits for a person."""
        return json.loads(self.hitl(*(start or self.start), "--json").stdout)
