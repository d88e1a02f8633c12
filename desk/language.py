"""The words of desk/languages.toml, and in which of its languages a text is, if that is certain."""

import re
import tomllib
from importlib.resources import files
from typing import Any, NamedTuple

_TABLES: dict[str, Any] = tomllib.loads(
    (files("hitl_orchestrator.desk") / "languages.toml").read_text("utf-8")
)
_LETTERS = {"ja": "[\u3040-\u30ff]", "zh": "[\u4e00-\u9fff]"}


class Phrases(NamedTuple):
    """Our words in a post; signs where the language is not certain."""

    extract: str
    more: str
    prerelease: str


def phrases_of(language: str) -> Phrases:
    return Phrases(*_TABLES["ours"].get(language, _TABLES["ours"][""]))


def patterns(where: str) -> dict[str, re.Pattern[str]]:
    """Return how changelogs of all languages call things in their headings or items."""
    wrapped = re.compile(r"\n\s*")
    return {what: re.compile(wrapped.sub("", one), re.I) for what, one in _TABLES[where].items()}


def language_of(text: str) -> str:
    """Return the language of a text, or "" where it is not certain."""
    words = re.findall(r"[^\W\d_]+", text.casefold())
    for name, letters in _LETTERS.items():
        if 20 * len(re.findall(letters, text)) > sum(map(len, words)):
            return name
    known: dict[str, str] = _TABLES["frequent"]
    counted = {name: sum(map(one.split().count, words)) for name, one in known.items()}
    second, first = sorted(counted.values())[-2:]
    return max(counted, key=counted.__getitem__) if first >= 2 and first > 1.5 * second else ""
