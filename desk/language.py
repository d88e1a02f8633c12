"""The words of desk/languages.toml, and in which of its languages a text is, if that is certain."""

import re
import tomllib
from importlib.resources import files

_WORDS: dict[str, dict[str, str]] = tomllib.loads(
    (files("hitl_orchestrator.desk") / "languages.toml").read_text("utf-8")
)
_LETTERS = {"ja": "[\u3040-\u30ff]", "zh": "[\u4e00-\u9fff]"}


def phrase(what: str, language: str) -> str:
    """Return our words for it; signs where the language is not certain."""
    return _WORDS[what].get(language) or _WORDS[what][""]


def patterns(where: str) -> dict[str, re.Pattern[str]]:
    """Return how changelogs of all languages call things in their headings or items."""
    wrapped = re.compile(r"\n\s*")
    return {what: re.compile(wrapped.sub("", one), re.I) for what, one in _WORDS[where].items()}


def language_of(text: str) -> str:
    """Return the language of a text, or "" where it is not certain."""
    words = re.findall(r"[^\W\d_]+", text.casefold())
    for name, letters in _LETTERS.items():
        if 20 * len(re.findall(letters, text)) > sum(map(len, words)):
            return name
    known = _WORDS["frequent"].items()
    counted = {name: sum(map(frequent.split().count, words)) for name, frequent in known}
    second, first = sorted(counted.values())[-2:]
    return max(counted, key=counted.__getitem__) if first >= 2 and first > 1.5 * second else ""
