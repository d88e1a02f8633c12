"""Channels and their limits."""

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hitl_orchestrator.desk.facets import Post

DEFAULT_CHANNELS: tuple[str, ...] = ("linkedin", "x", "email")
SUBJECT_LIMIT = 78  # RFC 5322's advice for a line
OTHER_LIMIT = 500  # what Mastodon allows, and less than most others

_ALIASES = {"twitter": "x", "e-mail": "email", "mail": "email"}
_X_URL = re.compile(
    r"(?<![\w@#$])https?://[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?"
    r"(?:[/?#][a-z0-9/?#&=_.~%+:;,@!$*-]*[a-z0-9/=_~%+&#-])?",
    re.I | re.A,
)
_X_DOMAIN = re.compile(
    r"(?<![a-z0-9.@-])(?:(?:[a-z0-9-]+\.)+(?:com|org|net|info|biz|edu|gov|dev|app|xyz|tech"
    r"|cloud|online|site|blog|shop|co|tv)"
    r"|(?:[a-z0-9-]+\.){2,}[a-z]{2})(?![\w-])",
    re.I | re.A,
)
_X_URL_LENGTH = 23


@dataclass(frozen=True)
class Channel:
    """`limit` is in the channel's own `count`. `points` and `line`: how many key points a reader
    has patience for, and how long each.
    """

    name: str
    limit: int
    points: int
    line: int
    has_labels: bool = False
    has_subject: bool = False
    count: Callable[[str], int] = len

    def fits(self, text: str) -> bool:
        return self.count(text) <= self.limit

    def problems(self, post: Post) -> list[str]:
        """What keeps a post from being posted here."""
        return [
            problem
            for problem, found in (
                ("the text is empty", not post.text.strip()),
                (
                    f"the text has {self.count(post.text)} characters, {self.limit} are allowed",
                    not self.fits(post.text),
                ),
                ("the subject is missing", self.has_subject and not (post.subject or "").strip()),
                (
                    f"the subject has more than {SUBJECT_LIMIT} characters",
                    len(post.subject or "") > SUBJECT_LIMIT,
                ),
            )
            if found
        ]


def x_length(text: str) -> int:
    """X's weighted count (twitter-text, version 3): most of Latin, Greek, Cyrillic and Arabic
    counts 1, all else 2, a URL 23.

    For the usual text never less than X's own count, at times more: an address without `https://`
    counts 23 or its length, whichever is more, and an emoji made of several code points counts each
    of them.
    """
    text = unicodedata.normalize("NFC", text)
    without_urls, urls = _X_URL.subn(" ", text)
    short_domains = sum(
        max(0, _X_URL_LENGTH - len(domain)) for domain in _X_DOMAIN.findall(without_urls)
    )
    return (
        sum(_x_weight(ord(c)) for c in without_urls) - urls + urls * _X_URL_LENGTH + short_domains
    )


def _x_weight(code: int) -> int:
    return (
        1
        if code <= 4351 or 8192 <= code <= 8205 or 8208 <= code <= 8223 or 8242 <= code <= 8247
        else 2
    )


_KNOWN = {
    "linkedin": Channel("linkedin", limit=3000, points=8, line=200, has_labels=True),
    "x": Channel("x", limit=280, points=3, line=70, count=x_length),
    "email": Channel("email", limit=10_000, points=12, line=400, has_labels=True, has_subject=True),
}


def channel(name: str) -> Channel:
    return _KNOWN.get(name) or Channel(name, limit=OTHER_LIMIT, points=4, line=120)


def channels(names: Iterable[str]) -> list[Channel]:
    """Return those of the input facet, each once. `Twitter` is `x`, and case does not matter."""
    canonical = ("-".join(name.casefold().split()) for name in names)
    known = dict.fromkeys(_ALIASES.get(name, name) for name in canonical)
    return [channel(name) for name in known]
