"""OpenAssistant's trees: the paths of a small one by hand, whole and message by message."""

from __future__ import annotations

from typing import Any, Literal

from lumilab.corpus.document import BadRecord
from lumilab.posttraining.messages import ASSISTANT, Message
from lumilab.posttraining.pairs import LeftOut
from lumilab.posttraining.rows import RefusedRow, Row
from lumilab.posttraining.trees import TreePaths


def node(name: str, role: str, *replies: dict[str, Any], rank: int | None = None, **more: Any) -> dict[str, Any]:
    return {"message_id": name, "role": role, "text": name, "lang": "en", "rank": rank, "replies": list(replies)} | more


TREE = node(
    "q", "prompter",
    node("a2", "assistant", node("r", "prompter", node("b", "assistant", rank=0)), rank=1),
    node("a1", "assistant", node("s", "prompter"), rank=0),
    node("gone", "assistant", rank=0, deleted=True),
    node("unfit", "assistant", rank=0, review_result=False),
    node("a3", "assistant"),
)  # fmt: skip


def rows(*values: Any) -> list[Row | BadRecord]:
    return [Row("root", "file", number, value) for number, value in enumerate(values, start=1)]


def flat(tree: dict[str, Any], parent: str | None = None) -> list[dict[str, Any]]:
    own = {name: value for name, value in tree.items() if name != "replies"} | {"parent_id": parent}
    return [own, *(row for reply in tree["replies"] for row in flat(reply, tree["message_id"]))]


def paths(found: list[Row | BadRecord], replies: Literal["best", "all"]) -> list[str]:
    read = TreePaths(replies).read(found)
    return [
        "".join(message.content + " " for message in path).strip()
        for item in read
        if isinstance(item, tuple)
        for path in item[1]
    ]


def test_the_best_path_ends_with_an_answer() -> None:
    whole = rows({"message_tree_id": "q", "tree_state": "ready_for_export", "prompt": TREE})
    assert paths(whole, "best") == ["q a1"]
    assert paths(whole, "all") == ["q a1", "q a2 r b", "q a3"]


def test_message_by_message_gives_the_same_in_any_order() -> None:
    messages = flat(TREE)
    assert paths(rows(*messages), "best") == ["q a1"]
    assert paths(rows(*messages[::-1]), "all") == ["q a1", "q a2 r b", "q a3"]


def test_what_is_left_out_and_what_is_refused() -> None:
    def read(*values: Any, language: str | None = None) -> list[Any]:
        return list(TreePaths("best", language).read(rows(*values)))

    (german,) = read({"prompt": TREE}, language="de")
    assert isinstance(german, LeftOut) and german.reason == "another language"
    (lonely,) = read({"prompt": node("q", "prompter")})
    assert isinstance(lonely, LeftOut) and lonely.reason == "no answer"
    refused = read({"prompt": node("q", "cat")}, {"message_id": "x", "role": "assistant", "text": None}, [], {})
    refused += read({"message_id": "x", "role": "assistant", "text": "x", "parent_id": "y"})
    assert all(isinstance(item, RefusedRow) for item in refused)
    reasons = [item.reason for item in refused]
    assert reasons == ["unknown role", "content is not text", "not an object", "unknown role", "no parent"]


def test_a_tree_of_any_depth_is_read() -> None:
    tree = node("end", "assistant")
    for depth in range(3_000):
        tree = node(f"m{depth}", ("prompter", "assistant")[depth % 2], tree)
    (found,) = TreePaths().read(rows({"prompt": tree["replies"][0]}))
    assert isinstance(found, tuple) and found[1][0][-1] == Message(ASSISTANT, "end")
