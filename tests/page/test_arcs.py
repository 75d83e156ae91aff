"""The graph of what was made from what: no arrow too many, none missing, and no two arcs on top of one another."""

from __future__ import annotations

from itertools import combinations
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumilab.page.arcs import Node, arc_diagram, lanes_of, reduced

SVG = "{http://www.w3.org/2000/svg}"
GRAPHS = st.integers(1, 8).flatmap(
    lambda count: st.fixed_dictionaries(
        {str(node): st.lists(st.sampled_from(range(max(node, 1))), unique=True, max_size=node) for node in range(count)}
    )
)


@given(GRAPHS)
def test_arrows_that_follow_from_others_are_left_out(graph: dict[str, list[int]]) -> None:
    networkx = pytest.importorskip("networkx")
    inputs = {node: [str(each) for each in sources if str(each) != node] for node, sources in graph.items()}
    known = networkx.DiGraph([(source, node) for node, sources in inputs.items() for source in sources])
    known.add_nodes_from(inputs)
    found = {(source, node) for node, sources in reduced(inputs).items() for source in sources}
    assert found == set(networkx.transitive_reduction(known).edges)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)).map(lambda pair: (pair[0], sum(pair)))))
def test_arcs_of_one_lane_do_not_meet(spans: list[tuple[int, int]]) -> None:
    lanes = lanes_of(spans)
    assert lanes.keys() == set(spans)
    for (one, lane), (other, same) in combinations(lanes.items(), 2):
        if lane == same and lane > 0:
            assert one[1] < other[0] or other[1] < one[0]
    assert all((lane == 0) == (end - start == 1) for (start, end), lane in lanes.items())


def test_each_node_has_its_words_and_each_edge_its_arc() -> None:
    nodes = [Node("a", [], ["a", "first"]), Node("b", ["a"], ["b"]), Node("c", ["a", "b", "elsewhere"], ["<c>"], "old")]
    chart = ElementTree.fromstring(arc_diagram("g", "Title", "About", nodes))
    assert [each.text for each in chart.iter(f"{SVG}text")] == ["a", "first", "b", "<c>"]
    assert len([each for each in chart.iter(f"{SVG}path") if each.attrib["class"] == "arc"]) == 2  # a to c follows
    assert [each.attrib["class"] for each in chart.iter(f"{SVG}circle")] == ["node good", "node good", "node old"]
