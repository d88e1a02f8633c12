"""Figures and addresses that a text states and its sources do not."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from nodes.specialists.markdown import urls
from nodes.specialists.prose import addresses

_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
_THOUSANDS = re.compile(r"(?<=\d)[,.](?=\d{3}(?:\D|$))")
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*", re.I)


def figures(text: str) -> list[str]:
    """The numbers in it, each once, addresses aside."""
    for url in addresses(text):
        text = text.replace(url, " ")
    return list(dict.fromkeys(_FIGURE.findall(text)))


def unsupported_figures(text: str, sources: Iterable[str]) -> list[str]:
    """1,000 and 1000 are the same, and 2.4 is said by 2.4.0. Numbers in words are not looked at."""
    known = {_plain(figure) for source in sources for figure in _FIGURE.findall(source)}
    return [f for f in figures(text) if _plain(f) not in known and not any(k.startswith(f"{f}.") for k in known if "." in f)]


def unsupported_links(text: str, sources: Iterable[str]) -> list[str]:
    known = {_bare(url) for source in sources for url in (*addresses(source), *urls(source))}
    return [url for url in addresses(text) if _bare(url) not in known]


def malformed_links(text: str) -> list[str]:
    return [url for url in addresses(text) if not _is_well_formed(url)]


def _is_well_formed(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        return bool(_HOST.fullmatch(host)) and parts.port != 0 and parts.username is None
    except ValueError:  # a port that is no number, a bracket that is not closed, a host that is none
        return False


def _plain(figure: str) -> str:
    return _THOUSANDS.sub("", figure)


def _bare(url: str) -> str:
    return url.rstrip("/")
