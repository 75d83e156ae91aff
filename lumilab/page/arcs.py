"""A graph of what was made from what, as a list with arcs beside it.

Nodes stand one under the other in the order in which they were made, and each edge is an arc on their left from a node
to one below it (an arc diagram: Wattenberg 2002, "Arc Diagrams: Visualizing Structure in Strings"). Boxes side by side
would not fit on a telephone; a list does, and keeps the words of each node beside it. An edge that follows from others
is left out (the transitive reduction: Aho, Garey and Ullman 1972).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lumilab.page.svg import safe, svg

ROW = 64  # pixels from one node to the next
FIRST = 20  # pixels from the top to the first node
LANE = 13  # pixels from one arc to the next
RADIUS = 6  # pixels, of a node


@dataclass(frozen=True)
class Node:
    """One thing that was made.

    Attributes:
        name: unique.
        inputs: the names of what it was made from; only what stands above it is drawn.
        lines: words beside it, the first one large.
        kind: a class of the page's style: "good", "old", "broken" or "open".
    """

    name: str
    inputs: Sequence[str]
    lines: Sequence[str]
    kind: str = "good"


def arc_diagram(name: str, title: str, description: str, nodes: Sequence[Node]) -> str:
    """The nodes from top to bottom with their arcs.

    Args:
        name: of the plot, unique in the page.
        title, description: for readers who do not see it.
        nodes: each after those it was made from.
    """
    rows = {node.name: row for row, node in enumerate(nodes)}
    edges = reduced({node.name: [each for each in node.inputs if each in rows] for node in nodes})
    spans = [(rows[source], rows[target]) for target, sources in edges.items() for source in sources]
    lanes = lanes_of(spans)
    width = LANE * (max(lanes.values(), default=0) + 1) + RADIUS
    parts = [_arc(width, top, bottom, lane) for (top, bottom), lane in lanes.items()]
    for row, node in enumerate(nodes):
        y = FIRST + ROW * row
        parts.append(f'<circle class="node {safe(node.kind)}" cx="{width}" cy="{y}" r="{RADIUS}"/>')
        for index, words in enumerate(node.lines):
            kind = "label strong" if not index else "value small"
            parts.append(f'<text class="{kind}" x="{width + 18}" y="{y + 5 + 17 * index}">{safe(words)}</text>')
    return svg(name, title, description, FIRST + ROW * len(nodes), parts, kind="arcs")


def reduced(inputs: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The inputs of each node without those that another of its inputs was made from, directly or not."""

    def above(node: str) -> set[str]:
        found: set[str] = set()
        waiting = list(inputs.get(node, ()))
        while waiting:
            each = waiting.pop()
            if each not in found:
                found.add(each)
                waiting += inputs.get(each, ())
        return found

    return {
        node: [each for each in sources if not any(each in above(other) for other in sources if other != each)]
        for node, sources in inputs.items()
    }


def lanes_of(spans: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """A lane for each arc, counted from the nodes outwards: 0 between neighbours, and no two arcs of a lane meet.

    Args:
        spans: the rows (from, to) of each arc, from < to.
    """
    lanes: dict[tuple[int, int], int] = {}
    for top, bottom in sorted(set(spans), key=lambda span: (span[1] - span[0], span)):
        if bottom - top == 1:
            lanes[top, bottom] = 0
            continue
        taken = {lane for (start, end), lane in lanes.items() if start <= bottom and top <= end}
        lanes[top, bottom] = next(lane for lane in range(1, len(spans) + 2) if lane not in taken)
    return lanes


def _arc(width: int, top: int, bottom: int, lane: int) -> str:
    start, end = FIRST + ROW * top, FIRST + ROW * bottom
    if not lane:
        tip = end - RADIUS - 1
        path = f"M{width} {start + RADIUS}V{tip - 5}"
        head = f"M{width - 4} {tip - 6}h8l-4 6z"
    else:
        # Out of the side of one node and into the side of the other, with round corners.
        x, tip = width - LANE * lane, width - RADIUS - 1
        path = f"M{tip} {start}H{x + 8}Q{x} {start} {x} {start + 8}V{end - 8}Q{x} {end} {x + 8} {end}H{tip - 5}"
        head = f"M{tip - 6} {end - 4}v8l6 -4z"
    return f'<path class="arc" d="{path}"/><path class="tip" d="{head}"/>'
