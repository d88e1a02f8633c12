"""Sentences, figures and addresses of a text, its language, and the words of languages.toml."""

import re
import tomllib
from importlib.resources import files
from typing import Any

_TABLES: dict[str, Any] = tomllib.loads(
    (files("hitl_orchestrator.desk") / "languages.toml").read_text("utf-8")
)
_LETTERS = {"ja": "[\u3040-\u30ff]", "zh": "[\u4e00-\u9fff]"}
_SENTENCE_END = re.compile(r"(?<=[.!?])([\"”’)]*)\s+(?=[\"“‘(]*[A-ZÀ-ÖØ-ÞА-Я])|(?<=[。！？])(?=\S)")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|approx|no|incl|resp|cf|z\.B|d\.h|bzw|ca|p\.ej)|\b[A-Z])\.$", re.I
)
# With brackets that are closed in it; those around it are the sentence's.
_ADDRESS = re.compile(
    r"https?://(?:[^\s<>\"'`“”«»|\\\x00，。；）()\[\]{}]|\([^\s()]*\)|\[[^\s\[\]]*\]|\{[^\s{}]*\})+"
)
_THOUSANDS = re.compile(r"(?<=\d)[,.](?=\d{3}(?:\D|$))")


def sentences(text: str) -> list[str]:
    """Return the sentences of a text in one line; at least one, if only the text itself."""
    found: list[str] = []
    for part in _SENTENCE_END.sub("\\1\n", text).split("\n"):
        if found and _ABBREVIATION.search(found[-1]):
            found[-1] += f" {part}"
        else:
            found.append(part)
    return found


def addresses(text: str) -> list[str]:
    """Return the web addresses, each once, without the punctuation of the sentence around them."""
    return [*dict.fromkeys(url.rstrip(".,;:!?*_…") for url in _ADDRESS.findall(text))]


def figures(text: str) -> list[str]:
    """Return the numbers of a text, each once, addresses aside. 1,000 is 1000."""
    for url in addresses(text):
        text = text.replace(url, " ")
    return [*dict.fromkeys(_THOUSANDS.sub("", one) for one in re.findall(r"\d+(?:[.,]\d+)*", text))]


def phrases_of(language: str) -> tuple[str, str, str]:
    """Return our words for an extract, for how much it leaves out, and for a pre-release."""
    return _TABLES["ours"].get(language, _TABLES["ours"][""])


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
