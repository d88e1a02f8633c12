"""The words of desk/languages.toml, and in which of its languages a text is, if that is certain."""

import re
import tomllib
from importlib.resources import files
from typing import NamedTuple

_LANGUAGES: dict[str, dict[str, str]] = tomllib.loads(
    (files("hitl_orchestrator.desk") / "languages.toml").read_text("utf-8")
)
_LETTERS = {"ja": "[\u3040-\u30ff]", "zh": "[\u4e00-\u9fff]"}


class Phrases(NamedTuple):
    """The words of ours in a post: signs of no language where the source's is not certain."""

    extract: str = "[…]"
    more: str = "[… +{}]"
    prerelease: str = "pre"


def phrases_of(language: str) -> Phrases:
    words = _LANGUAGES.get(language, {})
    return Phrases(**{name: words[name] for name in Phrases._fields if words})


def pattern_of(what: str) -> re.Pattern[str]:
    """Return a pattern of what changelogs of all languages call something."""
    return re.compile("|".join(one[what] for one in _LANGUAGES.values() if what in one), re.I)


def language_of(text: str) -> str:
    """Return the language of a text, or "" where it is not certain."""
    words = re.findall(r"[^\W\d_]+", text.casefold())
    for name, letters in _LETTERS.items():
        if 20 * len(re.findall(letters, text)) > sum(map(len, words)):
            return name
    counted: dict[str, int] = {}
    for name, known in _LANGUAGES.items():
        counted[name] = sum(map(known.get("frequent", "").split().count, words))
    second, first = sorted(counted.values())[-2:]
    return max(counted, key=counted.__getitem__) if first >= 2 and first > 1.5 * second else ""
