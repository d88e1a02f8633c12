"""The API's description as one plain page.

Swagger UI would come from a CDN: not offline, and not under our content security policy.
"""

import base64
import json
from collections.abc import Iterator
from hashlib import sha256
from html import escape
from itertools import pairwise
from typing import Any

from fastapi.responses import HTMLResponse
from markdown_it import MarkdownIt

Spec = dict[str, Any]

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: auto; padding: 1rem }
body { color: #1a1a1a; background: #fff }
h2 { border-top: 2px solid #ccc; padding-top: 1rem }
code, pre { font: 14px ui-monospace, monospace; background: #f2f2f2 }
pre { padding: .6rem; overflow-x: auto }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0 }
td, th { border-bottom: 1px solid #ddd }
@media (prefers-color-scheme: dark) {
  body { color: #eee; background: #1a1a1a }
  code, pre { background: #2a2a2a }
  a { color: #8cf }
}
"""
_STYLE_HASH = base64.b64encode(sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
}
LIMITS = (
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "minItems",
    "maxItems",
    "pattern",
)


def build_docs_page(spec: Spec) -> HTMLResponse:
    title = escape(f"{spec['info']['title']} {spec['info']['version']}")
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{STYLE}</style>"
    )
    body = _html(markdown(spec))
    return HTMLResponse(f'<!doctype html><html lang="en">{head}{body}</html>', headers=HEADERS)


def markdown(spec: Spec) -> str:
    return "\n\n".join(_page(spec))


def _page(spec: Spec) -> Iterator[str]:
    yield f"# {spec['info']['title']} {spec['info']['version']}"
    yield spec["info"]["description"]
    yield "The same for programs: [openapi.json](openapi.json)"
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            yield from _operation(f"{method.upper()} {path}", operation)
    for name, schema in spec["components"]["schemas"].items():
        yield from _schema(name, schema)


def _operation(name: str, operation: Spec) -> Iterator[str]:
    yield f"## {name}"
    yield operation["description"]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        yield f"Body: {_type(content['schema'])}"
    parameters = operation.get("parameters", [])
    yield _table(
        ["parameter", "in", "type", "meaning"],
        [[p["name"], p["in"], _type(p["schema"]), p["description"]] for p in parameters],
    )
    answers = [
        (status, content, answer)
        for status, answer in operation["responses"].items()
        for content in _contents(answer)
    ]
    yield _table(
        ["status", "body", "when"],
        [[status, content, answer["description"]] for status, content, answer in answers],
    )


def _contents(answer: Spec) -> list[str]:
    return [_type(content.get("schema", {})) for content in answer.get("content", {}).values()] or [
        ""
    ]


def _schema(name: str, schema: Spec) -> Iterator[str]:
    yield f"## {name}"
    yield schema.get("description", "")
    fields, required = schema.get("properties", {}), schema.get("required", [])
    rows = [
        [field, _type(one), "" if field in required else "optional", one.get("description", "")]
        for field, one in fields.items()
    ]
    yield _table(["field", "type", "", "meaning"], rows) or _type(schema)
    if "example" in schema:
        yield f"```json\n{json.dumps(schema['example'], indent=2)}\n```"


def _type(schema: Spec) -> str:
    if "$ref" in schema:
        name: str = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "items" in schema:
        return f"list of {_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object: name → {_type(schema['additionalProperties'])}"
    limits = [f"{limit} `{schema[limit]}`" for limit in LIMITS if limit in schema]
    return ", ".join([str(schema.get("type", "any JSON")), *limits])


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows] if rows else []
    return "\n".join(_write_row(line) for line in lines)


def _write_row(cells: list[str]) -> str:
    escaped = [cell.replace("|", "\\|").replace("\n", " ") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _html(text: str) -> str:
    """Render, with headings that links can lead to."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(text)
    for heading, content in pairwise(tokens):
        if heading.type == "heading_open":
            heading.attrSet("id", content.content)
    return reader.renderer.render(tokens, reader.options, {})
