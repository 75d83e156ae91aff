"""Models by name: what is fetched of a repository, once, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from stand_in_hub import Repository, StandInHub, environment, stand_in_hub
from tiny_chat import publish_model
from tiny_corpus import quiet_context
from tiny_model import QWEN3
from transformers import AutoModelForCausalLM

from lumilab.artifact import Artifact
from lumilab.errors import ConfigError, InputError
from lumilab.interop.export_hf import export_hf
from lumilab.interop.hub_models import fetch_model
from lumilab.interop.import_hf import import_hf
from lumilab.training.checkpoint import load_model


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    with stand_in_hub() as served:
        for name, value in environment(served.endpoint, tmp_path).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
            monkeypatch.delenv(name, raising=False)
        yield served


def test_a_model_in_parts_by_its_name(hub: StandInHub, tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    checkpoint = publish_model(tmp_path / "checkpoint", tokenizer_artifact, config=QWEN3)
    exported, _ = export_hf(checkpoint, tmp_path / "hf")
    AutoModelForCausalLM.from_pretrained(exported.path).save_pretrained(tmp_path / "parts", max_shard_size="60KB")
    files = {path.name: path.read_bytes() for path in (tmp_path / "parts").iterdir()}
    files |= {name: (exported.path / name).read_bytes() for name in ("tokenizer.json", "tokenizer_config.json")}
    hub.repositories["a/b"] = Repository(files | {"pytorch_model.bin": b"x" * 5_000, "README.md": b"hello"})
    folder = fetch_model("a/b", "main", quiet_context()[0])
    assert {path.name for path in folder.iterdir()} == files.keys()
    back, proof = import_hf(folder, tmp_path / "back")
    assert proof is not None
    for name, tensor in load_model(checkpoint).model.state_dict().items():
        assert torch.equal(load_model(back).model.state_dict()[name], tensor)
    sent = sum(hub.sent.values())
    assert fetch_model("a/b", "main", quiet_context()[0]) == folder
    assert sum(hub.sent.values()) == sent, "what is there is not fetched again"


def test_what_is_no_model(hub: StandInHub) -> None:
    context, _ = quiet_context()
    hub.repositories["a/b"] = Repository({"config.json": b"{}", "pytorch_model.bin": b"x"})
    with pytest.raises(InputError, match="a/b has no model that can be read"):
        fetch_model("a/b", "main", context)
    with pytest.raises(ConfigError, match="There is no folder"):
        fetch_model("../a", "main", context)
