"""`lumi serve --engine vllm`, with a stand-in for vLLM that writes down how it was called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_chat import publish_model, tiny_model
from tiny_pipeline import environment

from lumilab.artifact import Artifact
from lumilab.errors import ConfigError, InputError
from lumilab.interop.vllm import only_one, vllm_command
from lumilab.recipe.serving import ServingConfig
from lumilab.tokenizer.load import Tokenizer

STAND_IN = """\
#!{python}
import json, os, sys
told = {{"arguments": sys.argv[1:], "key": os.environ.get("VLLM_API_KEY"), "files": sorted(os.listdir(sys.argv[2]))}}
open({record!r}, "w").write(json.dumps(told))
sys.exit(7)
"""


def serve(folder: Path, *words: str | Path, path: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lumilab", "serve", "--engine", "vllm", *map(str, words)],
        cwd=folder, env=environment() | variables | {"PATH": path},
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


def test_the_settings_go_over_under_its_names() -> None:
    config = ServingConfig(host="0.0.0.0", port=9, slots=3, cors_origins=("https://a.example",))
    command = vllm_command("/bin/vllm", "mine", Path("exported"), 128, config)
    assert command[:3] == ["/bin/vllm", "serve", "exported"]
    options = dict(zip(command[3::2], command[4::2], strict=True))
    assert options == {
        "--served-model-name": "mine",
        "--host": "0.0.0.0",
        "--port": "9",
        "--max-model-len": "128",
        "--max-num-seqs": "3",
        "--allowed-origins": '["https://a.example"]',
    }


def test_only_one_model_is_served(tokenizer_artifact: Artifact) -> None:
    one = ("a", tokenizer_artifact)
    assert only_one([one]) == one
    with pytest.raises(ConfigError, match="one model"):
        only_one([one, one])


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script for POSIX")
def test_the_model_is_exported_and_vllm_started_on_it(
    tmp_path: Path, tokenizer_artifact: Artifact, tokenizer: Tokenizer
) -> None:
    pytest.importorskip("transformers")
    checkpoint = publish_model(tmp_path / "model", tokenizer_artifact, tiny_model(tokenizer))
    without = serve(tmp_path, checkpoint.path, path="/usr/bin:/bin")
    assert without.returncode == InputError.exit_code
    assert "vLLM is not installed here" in without.stderr
    assert not (tmp_path / "runs").exists()

    stand_in, record = tmp_path / "bin" / "vllm", tmp_path / "record.json"
    stand_in.parent.mkdir()
    stand_in.write_text(STAND_IN.format(python=sys.executable, record=str(record)))
    stand_in.chmod(0o755)
    done = serve(
        tmp_path, f"mine={checkpoint.path}", "--port", "8001", path=f"{stand_in.parent}:/usr/bin:/bin",
        LUMI_API_KEYS="secret",
    )  # fmt: skip
    assert done.returncode == 7, done.stderr
    told = json.loads(record.read_text())
    assert told["key"] == "secret"
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= set(told["files"])
    assert told["arguments"][0] == "serve"
    assert told["arguments"][told["arguments"].index("--served-model-name") + 1] == "mine"
    assert told["arguments"][told["arguments"].index("--max-model-len") + 1] == "128"
