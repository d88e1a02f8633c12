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
    r"(?<![a-z0-9.@-])(?:[a-z0-9-]+\.)+(?:com|org|net|info|biz|edu|gov|dev|app|xyz|tech"
    r"|cloud|online|site|blog|shop|co|tv)(?![\w-])",
    re.I | re.A,
)
_X_URL_LENGTH = 23


@dataclass(frozen=True)
class Channel:
    """`limit` is in the channel's own `count`; `points`: how many a reader has patience for."""

    name: str
    limit: int
    points: int
    has_labels: bool = False
    has_subject: bool = False
    count: Callable[[str], int] = len

    def fits(self, text: str) -> bool:
        return self.count(text) <= self.limit

    def problems(self, post: Post) -> list[str]:
        """Return what keeps a post from being posted here."""
        count, subject = self.count(post.text), (post.subject or "").strip()
        found: list[str] = []
        if not post.text.strip():
            found.append("the text is empty")
        if count > self.limit:
            found.append(f"the text has {count} characters, {self.limit} are allowed")
        if self.has_subject and not subject:
            found.append("the subject is missing")
        if len(subject) > SUBJECT_LIMIT:
            found.append(f"the subject has more than {SUBJECT_LIMIT} characters")
        return found


def x_length(text: str) -> int:
    """Return X's weighted count, as twitter-text has it in its version 3.

    Most of Latin, Greek, Cyrillic and Arabic counts 1, all else 2, a URL 23.
    Never less than X's own count for the usual text, at times more: a bare domain counts 23 or its
    length, whichever is more, and an emoji of several code points counts each of them.
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
    "linkedin": Channel("linkedin", limit=3000, points=8, has_labels=True),
    "x": Channel("x", limit=280, points=3, count=x_length),
    "email": Channel("email", limit=10_000, points=5000, has_labels=True, has_subject=True),
}


def channel(name: str) -> Channel:
    return _KNOWN.get(name) or Channel(name, limit=OTHER_LIMIT, points=4)


def channels(names: Iterable[str]) -> list[Channel]:
    """Return those of the input facet, each once. `Twitter` is `x`, and case does not matter."""
    canonical = ("-".join(name.casefold().split()) for name in names)
    known = dict.fromkeys(_ALIASES.get(name, name) for name in canonical)
    return [channel(name) for name in known]
