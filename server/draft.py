"""The first lines of an agent and of its test, to be changed."""

import keyword
import re
from pathlib import Path
from string import Template

from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.nodes.loading import is_installed

_AGENT = Template('''\
"""An agent that asks a person. Try it: hitl try $name.py:agent --objective "Announce it"."""

from langgraph.types import interrupt


async def run(task: dict) -> dict:
    """Get {objective, facets, context, ...}; return the facets that `agent` promises below."""
    # The run waits here, for days if need be, and goes on with the answer: this function then runs
    # again from its top. So ask first, and act after it.
    answer = interrupt(
        {
            "question": f"For whom is it: {task['objective']}?",
            "kind": "choice",  # or approval, freeform, form
            "options": [{"id": "dev", "label": "Developers"}, {"id": "ops", "label": "Operators"}],
        }
    )
    if answer["status"] == "denied":  # a person said no, or a limit did: go on without
        return {"$facet": {"audience": "everybody", "why": answer["reason"]}}
    return {"$facet": {"audience": answer["selectedOptionId"]}}


agent = {
    "capabilityId": "$name.brief",  # its id, in plans and in the inbox
    "displayName": "$title",  # its name, for people
    "inputFacets": ["objective"],  # what it needs; a plan has other agents make it first
    "outputFacets": ["$facet"],  # what it makes
    "facets": {"$facet": {"type": "object", "required": ["audience"]}},  # JSON Schema
    "run": run,  # a function, or any LangGraph graph
}
''')
_TEST = Template('''\
"""Run it: pytest test_$name.py. No server, no database."""

from hitl_orchestrator.testing import ask_agent

from $name import agent


def test_what_a_person_chooses_is_what_it_makes() -> None:
    asked = ask_agent(agent, "Announce it", answers=["ops"])
    assert asked.questions[0].question == "For whom is it: Announce it?"
    assert asked.facets == {"$facet": {"audience": "ops"}}


def test_it_goes_on_after_a_no() -> None:
    asked = ask_agent(agent, "Announce it", answers=[{"approved": False, "freeformText": "Later"}])
    assert asked.facets == {"$facet": {"audience": "everybody", "why": "Later"}}
''')


def write_draft(name: str, folder: Path) -> list[Path]:
    """Write the agent and its test into the folder, and return both files.

    Raise ConfigurationError where the name is none of a module of its own, or a file is there.
    """
    if not re.fullmatch(r"[A-Za-z]\w{0,39}", name, re.ASCII) or keyword.iskeyword(name):
        raise ConfigurationError(
            f"{name!r} is no name of a module: take up to 40 letters, digits and _, a letter first"
        )
    if is_installed(name):
        raise ConfigurationError(f"Python or a package has a module {name!r}: choose another name")
    words = {"name": name, "facet": f"{name}_brief", "title": name.replace("_", " ").capitalize()}
    texts = {f"{name}.py": _AGENT.substitute(words), f"test_{name}.py": _TEST.substitute(words)}
    files = [folder / file for file in texts]
    for file in files:
        if file.exists():
            raise ConfigurationError(f"{file.name} is there already; nothing was written")
    for file, text in zip(files, texts.values(), strict=True):
        _write_new(file, text)
    return files


def tell_next(name: str) -> str:
    """Return what to do with them, as lines for a person."""
    return "\n".join(
        [
            f"Written: {name}.py, an agent that asks, and test_{name}.py. Change both. Then",
            f'  hitl try {name}.py:agent --objective "Announce it"    answer it here, in memory',
            f"  hitl check {name}.py:agent                           what is wrong with it",
            f"  pytest test_{name}.py                                the test",
            f"  HITL_AGENTS={name}.py:agent hitl serve --reload      serve it; the inbox asks",
        ]
    )


def _write_new(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise ConfigurationError(f"{file.name} cannot be written: {error.strerror}") from error
