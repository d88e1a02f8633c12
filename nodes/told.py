"""Which answers an agent's thread has gone on with: they are in its checkpoints' metadata.

A run that is forked, and answered otherwise, still has the one thread of each agent, which no fork
of the run takes back.
"""

import hashlib
import json
from collections.abc import Mapping

from langchain_core.runnables import RunnableConfig

from hitl_orchestrator.domain.errors import Invalid
from hitl_orchestrator.domain.hitl import Answer

TOLD = "hitl_told"  # question key -> digest of its answer, as JSON: metadata holds only texts


def read_told(metadata: Mapping[str, object] | None) -> Mapping[str, str]:
    kept = (metadata or {}).get(TOLD)
    return json.loads(str(kept)) if kept else {}


def check_told(told: Mapping[str, str], answers: Mapping[str, Answer]) -> None:
    """Raise Invalid where the thread has gone on with something else than these answers."""
    for key, digest in told.items():
        if key not in answers or _digest(answers[key]) != digest:
            raise Invalid(
                "Its agent has already gone on with another answer. Its thread is not forked with"
                " the run's; start a new run to decide otherwise"
            )


def add_told(told: Mapping[str, str], answers: Mapping[str, Answer]) -> Mapping[str, str]:
    return {**told, **{key: _digest(answer) for key, answer in answers.items()}}


def keep_told(config: RunnableConfig, told: Mapping[str, str]) -> RunnableConfig:
    """Return the config with which what the thread has gone on with is written down."""
    return {**config, "metadata": {**config.get("metadata", {}), **write_told(told)}}


def write_told(told: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata in which it is written down."""
    return {TOLD: json.dumps(told)} if told else {}


def _digest(answer: Answer) -> str:
    text = json.dumps(answer.json_object(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
