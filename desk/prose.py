"""Sentences, figures and addresses of a text."""

import re

_SENTENCE_END = re.compile(r"(?<=[.!?])([\"”’)]*)\s+(?=[\"“‘(]*[A-ZÀ-ÖØ-ÞА-Я])|(?<=[。！？])(?=\S)")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|approx|no|incl|resp|cf|z\.B|d\.h|bzw|ca|p\.ej)|\b[A-Z])\.$", re.I
)
# With brackets that are closed in it; those around it are the sentence's.
_ADDRESS = re.compile(
    r"https?://(?:[^\s<>\"'`“”«»|\\\x00，。；）()\[\]{}]|\([^\s()]*\)|\[[^\s\[\]]*\]|\{[^\s{}]*\})+"
)
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
_THOUSANDS = re.compile(r"(?<=\d)[,.](?=\d{3}(?:\D|$))")
ENOUGH_WORDS = 5


def sentences(text: str) -> list[str]:
    """Return the sentences of a text in one line; at least one, if only the text itself."""
    found: list[str] = []
    for part in _SENTENCE_END.sub("\\1\n", text).split("\n"):
        if found and _ABBREVIATION.search(found[-1]):
            found[-1] += f" {part}"
        else:
            found.append(part)
    return found


def beginnings(text: str) -> list[str]:
    """Return the whole text, and its first sentences as far as they can stand for it."""
    parts = sentences(text)
    begun = [" ".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]
    return [text, *(one for one in begun if len(one.split()) >= ENOUGH_WORDS)]


def addresses(text: str) -> list[str]:
    """Return the web addresses, each once, without the punctuation of the sentence around them."""
    return [*dict.fromkeys(url.rstrip(".,;:!?*_…") for url in _ADDRESS.findall(text))]


def figures(text: str) -> list[str]:
    """Return the numbers of a text, each once, addresses aside. 1,000 is 1000."""
    for url in addresses(text):
        text = text.replace(url, " ")
    return [*dict.fromkeys(_THOUSANDS.sub("", figure) for figure in _FIGURE.findall(text))]
