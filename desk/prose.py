"""Sentences, quotations, addresses, clipping, and how hard a text is to read."""

import re

_SENTENCE_END = re.compile(r"([.!?…][\"”’)]*)\s+(?=[\"“‘(]*[A-ZÀ-ÖØ-Þ0-9])")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|approx|no|incl|resp|cf)|\b[A-Z])\.$", re.I)
_WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
_NOT_PROSE = re.compile(r"https?://\S+|#\w+")
ADDRESS = re.compile(r"https?://[^\s<>\"'`“”«»|\\\x00]+")
QUOTED = re.compile(
    r"“([^”]{1,999})”|\"([^\"]{1,999})\"|«([^»]{1,999})»|„([^“”]{1,999})[“”]|`([^`]{1,999})`"
)
_LONG_WORD = 6
_ENOUGH_WORDS = 40  # a few words say nothing about readability


def sentences(text: str) -> list[str]:
    """Of a text in one line; at least one, if only the text itself."""
    found: list[list[str]] = []
    for part in _SENTENCE_END.sub(r"\1\n", text).split("\n"):
        if found and _ABBREVIATION.search(found[-1][-1]):
            found[-1].append(part)
        else:
            found.append([part])
    return [" ".join(parts) for parts in found]


def quoted(text: str) -> list[str]:
    """What stands in quotation marks, without them."""
    return [" ".join("".join(groups).split()) for groups in QUOTED.findall(text)]


def addresses(text: str) -> list[str]:
    """The web addresses, each once, without the punctuation of the sentence around them."""
    return list(
        dict.fromkeys(
            url
            for found in ADDRESS.findall(text)
            if re.match(r"https?://.", url := _trimmed(found))
        )
    )


def _trimmed(url: str) -> str:
    while url and (
        url[-1] in ".,;:!?*_…"
        or (
            url[-1] in ")]}"
            and url.count(url[-1]) > url.count({")": "(", "]": "[", "}": "{"}[url[-1]])
        )
    ):
        url = url[:-1]
    return url


def clipped(text: str, limit: int) -> str:
    """At most that many characters, cut between words, never in or after an address, with an
    ellipsis where something was cut.
    """
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    whole_words = re.sub(r"(?:\s*https?://\S*)+$", "", cut.rpartition(" ")[0] or cut)
    return whole_words.rstrip(" ,;:–—-(") + "…"


def short(text: str, limit: int) -> str:
    """The first sentence or clause that fits, else the clipped text."""
    if len(text) <= limit:
        return text
    ends = [found.start() for found in re.finditer(r"[.!?](?=\s)|[;,](?=\s)|\s[–—(-]", text)]
    fitting = [end for end in ends if limit // 3 < end <= limit]
    return text[: fitting[-1]].rstrip() if fitting else clipped(text, limit)


def lix(text: str) -> float | None:
    """Läsbarhetsindex: words a sentence plus the percentage of words over six letters; it is the
    same measure in every language.

    A line counts as a sentence; addresses and hashtags do not count. Under 30 is very easy, over 60
    very difficult. None for a text too short to measure.
    """
    lines = [line for line in _NOT_PROSE.sub("", text).splitlines() if _WORD.search(line)]
    words = [word for line in lines for word in _WORD.findall(line)]
    if len(words) < _ENOUGH_WORDS:
        return None
    total_sentences = sum(len(sentences(line)) for line in lines)
    return round(
        len(words) / total_sentences
        + 100 * sum(len(word) > _LONG_WORD for word in words) / len(words),
        1,
    )


def blockquote(text: str) -> str:
    """As Markdown, line by line: two blanks at the end keep a line from running into the next."""
    return "\n".join(f"> {line}  " if line else ">" for line in text.splitlines())
