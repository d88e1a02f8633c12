"""The facets of the desk: what goes in, what its specialists hand on, and what comes out."""

from typing import Annotated, Literal

from langchain_core.utils.json_schema import dereference_refs
from pydantic import Field, StringConstraints

from hitl_orchestrator.domain.hitl import Person
from hitl_orchestrator.domain.records import JsonObject, Record

MAX_POSTS = 10

Line = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\r\n]*$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000, pattern=r"\S")]
ChannelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
PointKind = Literal["breaking", "security", "internal", "fixed", "changed", "new", "other"]
Rule = Literal[
    "release", "product", "version", "figures", "links", "sentences", "markup", "left-out", "empty",
    "length",
]  # fmt: skip


class KeyPoint(Record):
    text: Text
    kind: PointKind = "other"
    section: str | None = Field(default=None, description="the heading it stood under")
    whole: bool = Field(default=True, description="a list's item; else a sentence of a paragraph")

    @property
    def is_urgent(self) -> bool:
        return self.kind in ("breaking", "security")

    @property
    def is_news(self) -> bool:
        return self.section is None or self.kind not in ("internal", "other")


class Link(Record):
    url: Line
    text: str = ""


class Brief(Record):
    """What to say, to whom: points in the source's order, and the numbers of those that lead."""

    product: str | None = None
    version: str | None = None
    prerelease: bool = False
    releaseFrom: Literal["source", "person"] = "source"
    audience: str
    audienceFrom: Literal["input", "person", "nobody"] = "input"
    why: str | None = Field(default=None, description="why nobody said whom to address")
    keyPoints: Annotated[tuple[KeyPoint, ...], Field(max_length=5000)]
    lead: tuple[int, ...] = ()
    links: tuple[Link, ...] = ()
    language: str = Field(default="", description="of the source, as far as it is certain")
    madeBy: str = "a person"

    @property
    def headline(self) -> str:
        return " ".join(filter(None, [self.product, self.version]))


class Post(Record):
    channel: ChannelName
    text: Text
    subject: Line | None = None

    @property
    def content(self) -> str:
        return f"Subject: {self.subject}\n\n{self.text}\n" if self.subject else f"{self.text}\n"


class Drafts(Record):
    """`guidance`: what a person told the writer."""

    posts: Annotated[tuple[Post, ...], Field(min_length=1, max_length=MAX_POSTS)]
    guidance: tuple[str, ...] = ()
    madeBy: str = "a person"


class Issue(Record):
    """An error. `line`: of the post's text, from 1; without one it is about the whole."""

    channel: ChannelName
    rule: Rule
    message: str
    line: int | None = None

    def __str__(self) -> str:
        place = f", line {self.line}" if self.line else ""
        return f"- **{self.channel}**{place} ({self.rule}): {self.message}"


class Review(Record):
    """`why`: what became of one that did not pass. `leaveOut`: whom a person left out."""

    passed: bool
    issues: tuple[Issue, ...] = ()
    leaveOut: tuple[ChannelName, ...] = ()
    why: str | None = None

    @property
    def wrong(self) -> tuple[str, ...]:
        """Return the channels whose posts have errors."""
        return tuple(dict.fromkeys(issue.channel for issue in self.issues))


class PublishedFile(Record):
    channel: ChannelName
    file: str
    sha256: str


class Published(Record):
    """`folder`: below the outbox."""

    folder: str
    files: tuple[PublishedFile, ...]
    approvedBy: Person | None
    edited: bool
    madeBy: str


def _schema(record: type[Record]) -> JsonObject:
    """Return its JSON Schema without `$ref`, which would point at nothing in a merged contract."""
    schema = dereference_refs(record.model_json_schema(), skip_keys=[])
    return {name: part for name, part in schema.items() if name != "$defs"}


def _text(description: str, **more: int) -> JsonObject:
    return {"type": "string", "minLength": 1, **more, "description": description}


SCHEMAS: dict[str, JsonObject] = {
    "source": _text("Markdown or reStructuredText; without it the objective's own text is read."),
    "audience": _text("Whom to address. Without it the strategist asks.", maxLength=200),
    "channels": {
        "type": "array",
        "items": {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9 _-]{0,39}$"},
        "minItems": 1,
        "maxItems": MAX_POSTS,
        "uniqueItems": True,
        "description": "Where to post: linkedin, x, email. Others get text of 500 characters.",
    },
    **{one.__name__.lower(): _schema(one) for one in (Brief, Drafts, Review, Published)},
}
