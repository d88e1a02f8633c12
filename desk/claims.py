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
    """Return what Markdown states, as it is written and as it reads."""
    texts, urls = list[str](), list[str]()
    for source in sources:
        texts.append(source)
        for block in blocks(source):
            texts.append(block.text)
            urls += [link.url for link in block.links]
    for text in texts:
        urls += addresses(text)
    return Support(
        figures=frozenset(_plain(figure) for text in texts for figure in _FIGURE.findall(text)),
        links=frozenset(map(_bare, urls)),
    )


def figures(text: str) -> list[str]:
    """The numbers in it, each once, addresses aside."""
    for url in addresses(text):
        text = text.replace(url, " ")
    return list(dict.fromkeys(_FIGURE.findall(text)))


def unsupported_figures(text: str, known: Support) -> list[str]:
    """Return those that nothing known states. Numbers in words are not looked at."""
    return [figure for figure in figures(text) if not _is_supported(figure, known)]


def _is_supported(figure: str, known: Support) -> bool:
    """2.4 is supported by 2.4.0."""
    if _plain(figure) in known.figures:
        return True
    return "." in figure and any(one.startswith(f"{figure}.") for one in known.figures)


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
