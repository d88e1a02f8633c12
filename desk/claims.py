"""Figures and addresses that a text states and its sources do not."""

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

from hitl_orchestrator.desk.markdown import blocks
from hitl_orchestrator.desk.prose import addresses

_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
_THOUSANDS = re.compile(r"(?<=\d)[,.](?=\d{3}(?:\D|$))")
_HOST = re.compile(
    r"(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*", re.I
)


class Support(NamedTuple):
    """What sources state. 1,000 and 1000 are the same figure."""

    figures: frozenset[str]
    links: frozenset[str]


def support(sources: Iterable[str]) -> Support:
    """Of Markdown, as it is written and as it reads."""
    read = [(source, blocks(source)) for source in sources]
    texts = [text for source, found in read for text in (source, *(block.text for block in found))]
    links = [link.url for _, found in read for block in found for link in block.links]
    return Support(
        figures=frozenset(_plain(figure) for text in texts for figure in _FIGURE.findall(text)),
        links=frozenset(
            _bare(url) for url in (*links, *(url for text in texts for url in addresses(text)))
        ),
    )


def figures(text: str) -> list[str]:
    """The numbers in it, each once, addresses aside."""
    for url in addresses(text):
        text = text.replace(url, " ")
    return list(dict.fromkeys(_FIGURE.findall(text)))


def unsupported_figures(text: str, known: Support) -> list[str]:
    """2.4 is supported by 2.4.0. Numbers in words are not looked at."""
    return [
        f
        for f in figures(text)
        if _plain(f) not in known.figures
        and not ("." in f and any(k.startswith(f"{f}.") for k in known.figures))
    ]


def unsupported_links(text: str, known: Support) -> list[str]:
    return [url for url in addresses(text) if _bare(url) not in known.links]


def malformed_links(text: str) -> list[str]:
    return [url for url in addresses(text) if not _is_well_formed(url)]


def _is_well_formed(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        return bool(_HOST.fullmatch(host)) and parts.port != 0 and parts.username is None
    except ValueError:
        # a port that is no number, a bracket that is not closed, a host that is none
        return False


def _plain(figure: str) -> str:
    return _THOUSANDS.sub("", figure)


def _bare(url: str) -> str:
    return url.rstrip("/")
