"""Channels and their limits."""

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hitl_orchestrator.desk.facets import Post

DEFAULT_CHANNELS: tuple[str, ...] = ("linkedin", "x", "email")
SUBJECT_LIMIT = 78  # RFC 5322's advice for a line
_ALIASES = {"twitter": "x", "e-mail": "email", "mail": "email"}
# What X makes a link of, and counts as 23 characters.
_X_LINK = re.compile(
    r"(?<![\w@#$])https?://[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?"
    r"(?:[/?#][a-z0-9/?#&=_.~%+:;,@!$*-]*[a-z0-9/=_~%+&#-])?"
    r"|(?<![a-z0-9.@-])(?:[a-z0-9-]+\.)+(?:com|org|net|info|biz|edu|gov|dev|app|xyz|tech"
    r"|cloud|online|site|blog|shop|co|tv)(?![\w-])",
    re.I | re.A,
)
# Most of Latin, Greek, Cyrillic and Arabic, and some dashes and quotation marks; all else counts 2.
_X_SINGLE = re.compile("[\u0000-\u10ff\u2000-\u200d\u2010-\u201f\u2032-\u2037]")


@dataclass(frozen=True)
class Channel:
    """`limit` is in the channel's own `count`; `points`: how many a reader has patience for."""

    name: str
    limit: int
    points: int
    has_subject: bool = False
    count: Callable[[str], int] = len

    def problems(self, post: Post) -> list[str]:
        """Return what keeps a post from being posted here."""
        count, subject = self.count(post.text), (post.subject or "").strip()
        problems = {
            f"the text has {count} characters, {self.limit} are allowed": count > self.limit,
            "the subject is missing": self.has_subject and not subject,
            f"the subject has more than {SUBJECT_LIMIT} characters": len(subject) > SUBJECT_LIMIT,
        }
        return [problem for problem, is_there in problems.items() if is_there]


def x_length(text: str) -> int:
    """Return X's weighted count, as twitter-text has it in its version 3.

    Never less than X's own count for the usual text, at times more: an emoji of several code points
    counts each of them.
    """
    text = _X_LINK.sub("x" * 23, unicodedata.normalize("NFC", text))
    return 2 * len(text) - len(_X_SINGLE.findall(text))


_KNOWN = {
    "linkedin": Channel("linkedin", limit=3000, points=8),
    "x": Channel("x", limit=280, points=3, count=x_length),
    "email": Channel("email", limit=10_000, points=5000, has_subject=True),
}


def channel(name: str) -> Channel:
    """Return what is known of it, else what Mastodon allows, which is less than most."""
    return _KNOWN.get(name) or Channel(name, limit=500, points=4)


def channels(names: Iterable[str]) -> list[Channel]:
    """Return those of the input facet, each once. `Twitter` is `x`, and case does not matter."""
    canonical = ("-".join(name.casefold().split()) for name in names)
    known = dict.fromkeys(_ALIASES.get(name, name) for name in canonical)
    return [channel(name) for name in known]
