"""The facets of the announcement desk: what goes in, what its specialists hand to each other, and
what comes out.
"""

from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, Field, StringConstraints

from hitl_orchestrator.domain.hitl import Person
from hitl_orchestrator.domain.records import JsonObject, Record

MAX_POSTS = 10
MAX_MUST_INCLUDE = 20

Line = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\r\n]*$")]
ChannelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
PointKind = Literal[
    "security", "breaking", "new", "improved", "other", "removed", "deprecated", "fixed", "internal"
]

SOURCE: JsonObject = {
    "type": "string",
    "minLength": 1,
    "description": (
        "Markdown to draw on: a changelog, release notes, a brief. Without it the objective's "
        "own text is the source."
    ),
}
AUDIENCE: JsonObject = {
    "type": "string",
    "minLength": 1,
    "maxLength": 200,
    "description": "Whom to address. Without it the strategist asks.",
}
CHANNELS: JsonObject = {
    "type": "array",
    "minItems": 1,
    "maxItems": MAX_POSTS,
    "uniqueItems": True,
    "items": {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9 _-]{0,39}$"},
    "description": (
        "Where to post; default linkedin, x, email. Any other name gets a plain text post of "
        "at most 500 characters."
    ),
}


class KeyPoint(Record):
    text: Line
    kind: PointKind = "other"
    section: str | None = Field(default=None, description="the heading it stood under")


class Link(Record):
    url: Line
    text: str = ""


class Brief(Record):
    """What to say, to whom. Points and links stand in the order of their weight."""

    title: str = ""
    product: str | None = None
    version: str | None = None
    audience: str
    audienceFrom: Literal["input", "person", "nobody"] = "input"
    why: str | None = Field(default=None, description="why nobody said whom to address")
    angle: str = ""
    summary: str | None = Field(default=None, description="the source's own introduction")
    keyPoints: Annotated[tuple[KeyPoint, ...], Field(max_length=50)]
    mustInclude: tuple[Line, ...] = Field(
        default=(),
        max_length=MAX_MUST_INCLUDE,
        description="lines that have to be in every draft, word for word, where they fit",
    )
    links: tuple[Link, ...] = ()
    figures: tuple[str, ...] = ()
    madeBy: str = "a person"


class Post(Record):
    channel: ChannelName
    text: Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
    subject: Line | None = None


class Drafts(Record):
    posts: Annotated[tuple[Post, ...], Field(min_length=1, max_length=MAX_POSTS)]
    guidance: tuple[str, ...] = Field(
        default=(), description="what the writer was told by a person"
    )
    madeBy: str = "a person"


class Issue(Record):
    channel: ChannelName
    rule: Literal[
        "length", "must-include", "readability", "links", "figures", "claims", "substance"
    ]
    message: str
    severity: Literal["error", "warning"]


class Review(Record):
    passed: bool
    score: Annotated[int, Field(ge=0, le=100)]
    threshold: Annotated[int, Field(ge=0, le=100)] = 0
    issues: tuple[Issue, ...] = ()
    readability: dict[str, float] = Field(
        default={}, description="LIX by channel: under 30 very easy, over 60 very difficult"
    )
    why: str | None = Field(default=None, description="what became of a review that did not pass")
    madeBy: str = "a person"


class PublishedFile(Record):
    channel: ChannelName
    file: str
    sha256: str


class Published(Record):
    folder: str = Field(description="below the outbox")
    files: tuple[PublishedFile, ...]
    approvedBy: Person | None
    edited: bool
    madeBy: str


def schema_of(record: type[BaseModel]) -> JsonObject:
    """Its JSON Schema without `$ref`: contracts merge the facets' schemas, where a local reference
    would point at nothing.
    """
    schema = record.model_json_schema()
    return _inlined(schema, schema.pop("$defs", {}))


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    match node:
        case {"$ref": str(name), **beside}:
            return _inlined({**definitions[name.rpartition("/")[2]], **beside}, definitions)
        case dict():
            return {
                name: _inlined(value, definitions)
                for name, value in cast(dict[str, Any], node).items()
            }
        case list():
            return [_inlined(item, definitions) for item in cast(list[Any], node)]
        case _:
            return node
