"""A compiled graph as a picture that needs no network and no program: an SVG, in layers.

Boxes bring their own background, so that they can be read in dark notebooks and in light ones.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from langgraph.graph import START

from hitl_orchestrator.graph.build import Graph

LONGEST_LABEL = 32  # characters
_CHARACTER, _HEIGHT, _ROW, _GAP, _EDGE = 7.3, 26, 38, 64, 14  # pixels; of monospace 12px
_ARC = 22  # how far a line that skips layers keeps away from the boxes

_FRAME = (
    '<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}"'
    ' viewBox="0 0 {width} {height}" width="{width}" height="{height}" style="max-width:100%"'
    ' font-family="monospace" font-size="12" text-anchor="middle">'
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7"'
    ' orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" fill="#818b98"/></marker></defs>'
    '<g fill="none" stroke="#818b98" marker-end="url(#tip)">{lines}</g>{boxes}</svg>'
)
_BOX = (
    '<g><title>{title}</title><rect x="{x}" y="{y}" width="{width}" height="26" rx="6"'
    ' fill="{fill}" stroke="{stroke}" stroke-width="{thick}"/>'
    '<text x="{middle}" y="{base}" fill="#1b2733"{weight}>{label}</text></g>'
)
_PLAIN = {"fill": "#e8edf3", "stroke": "#818b98", "thick": 1, "weight": ""}
_MARKED = {"fill": "#ffc53d", "stroke": "#d4380d", "thick": 3, "weight": ' font-weight="bold"'}

Edge = tuple[str, str]


@dataclass(frozen=True, repr=False)
class Drawing:
    """An SVG, which a notebook shows."""

    svg: str
    text: str

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return self.text


class _Box(NamedTuple):
    layer: int
    x: int
    y: int
    width: int

    @property
    def middle(self) -> int:
        return self.x + self.width // 2


def draw(graph: Graph, marked: Collection[str] = ()) -> Drawing:
    """Draw the graph; `marked` are the nodes where it stands."""
    drawn = graph.get_graph()
    edges = dict.fromkeys((edge.source, edge.target) for edge in drawn.edges)
    return draw_edges(list(drawn.nodes), list(edges), marked)


def draw_edges(
    nodes: Sequence[str], edges: Sequence[Edge], marked: Collection[str] = ()
) -> Drawing:
    """Draw the nodes in layers, by how far they are from the start."""
    boxes = _place(_list_layers(nodes, edges))
    right = max(box.x + box.width for box in boxes.values())
    bottom = max(box.y for box in boxes.values()) + _HEIGHT
    at = [node for node in nodes if node in marked]
    text = f"{', '.join(nodes)}; at: {', '.join(at) or 'none'}"
    svg = _FRAME.format(
        label=escape(text),
        width=right + _EDGE,
        height=bottom + _ARC,
        lines="".join(_draw_lines(boxes, edges, bottom)),
        boxes="".join(_draw_box(node, box, node in marked) for node, box in boxes.items()),
    )
    return Drawing(svg, text)


def _list_layers(nodes: Sequence[str], edges: Iterable[Edge]) -> list[list[str]]:
    following: dict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        following[source].append(target)
    layers = [[START if START in nodes else nodes[0]]]
    left = [node for node in nodes if node != layers[0][0]]
    while left:
        reached = {target for node in layers[-1] for target in following[node]}
        layer = [node for node in left if node in reached] or left
        layers.append(layer)
        left = [node for node in left if node not in layer]
    return layers


def _place(layers: Sequence[Sequence[str]]) -> dict[str, _Box]:
    tallest = max(len(layer) for layer in layers)
    boxes: dict[str, _Box] = {}
    x = _EDGE
    for number, layer in enumerate(layers):
        width = round(max(len(_shorten(node)) for node in layer) * _CHARACTER) + 18
        top = _ARC + (tallest - len(layer)) * _ROW // 2
        for row, node in enumerate(layer):
            boxes[node] = _Box(number, x, top + row * _ROW, width)
        x += width + _GAP
    return boxes


def _draw_lines(boxes: Mapping[str, _Box], edges: Sequence[Edge], bottom: int) -> Iterable[str]:
    for source, target in edges:
        start, end = boxes[source], boxes[target]
        if abs(end.layer - start.layer) != 1:
            yield _draw_arc(start, end, bottom)
        elif start.layer < end.layer or (target, source) not in edges:
            both = (target, source) in edges  # one line there and back
            yield _draw_line(start, end) + (' marker-start="url(#tip)"/>' if both else "/>")


def _draw_line(start: _Box, end: _Box) -> str:
    forward = start.layer < end.layer
    x1, x2 = (start.x + start.width, end.x) if forward else (start.x, end.x + end.width)
    y1, y2, middle = start.y + _HEIGHT // 2, end.y + _HEIGHT // 2, (x1 + x2) // 2
    return f'<path d="M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"'


def _draw_arc(start: _Box, end: _Box, bottom: int) -> str:
    """Past all boxes: forward above them, else below."""
    above = start.layer < end.layer
    side, far = (0, 6) if above else (_HEIGHT, bottom + _ARC - 6)
    return (
        f'<path d="M{start.middle} {start.y + side}'
        f'V{far}H{end.middle}V{end.y + side}" stroke-linejoin="round"/>'
    )


def _draw_box(node: str, box: _Box, is_marked: bool) -> str:
    return _BOX.format(
        title=escape(node),
        label=escape(_shorten(node)),
        x=box.x,
        y=box.y,
        width=box.width,
        middle=box.middle,
        base=box.y + 17,
        **(_MARKED if is_marked else _PLAIN),
    )


def _shorten(node: str) -> str:
    label = node.strip("_") if node.startswith("__") else node
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"
