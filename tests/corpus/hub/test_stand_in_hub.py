"""The stand-in is honest: the hub's own client lists and downloads from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_faults import cut_after
from stand_in_hub import Repository, StandInHub

CLIENT = """
import json, sys
from pathlib import Path
from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

def name_of(function, *values, **more):
    try:
        function(*values, **more)
    except Exception as error:
        return type(error).__name__

api = HfApi()
info = api.dataset_info("owner/name")
tree = api.list_repo_tree("owner/name", recursive=True, repo_type="dataset")
files = [file for file in tree if hasattr(file, "size")]
folder = Path(snapshot_download("owner/name", repo_type="dataset", local_dir=sys.argv[1]))
with HfFileSystem().open("datasets/owner/name/data/train-00001.parquet", "rb") as stream:
    stream.seek(1000)
    middle = stream.read(50).hex()
print(json.dumps({
    "sha": info.sha,
    "tree": sorted([file.path, file.size, file.blob_id, file.lfs and file.lfs.sha256] for file in files),
    "paths": [file.path for file in api.get_paths_info("owner/name", ["README.md"], repo_type="dataset")],
    "branches": [ref.name for ref in api.list_repo_refs("owner/name", repo_type="dataset").branches],
    "middle": middle,
    "errors": [
        name_of(hf_hub_download, "owner/name", "nothing.txt", repo_type="dataset"),
        name_of(hf_hub_download, "owner/nothing", "x", repo_type="dataset"),
        name_of(hf_hub_download, "owner/gated", "x", repo_type="dataset"),
        name_of(api.dataset_info, "owner/name", revision="nothing"),
        name_of(lambda: list(api.list_repo_tree("owner/name", "nothing", repo_type="dataset"))),
    ],
}))
"""


def test_the_hubs_own_client_takes_it_for_the_hub(hub: StandInHub, dataset: Repository, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    from lumilab.corpus.hub.api import Hub
    from lumilab.corpus.hub.persistence import Manners

    hub.repositories["owner/gated"] = Repository({"x": b"x"}, gated=True)
    hub.faults += [cut_after(1_000)]
    variables = {**os.environ, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, str(tmp_path / "theirs")],
        env=variables, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)
    assert theirs["sha"] == dataset.commit
    # The client and our own agree on every file's size and hashes.
    ours = Hub(Manners()).files("owner/name", dataset.commit)
    assert theirs["tree"] == [[file.name, file.size, file.blob, file.sha256] for file in ours]
    assert theirs["paths"] == ["README.md"]
    assert theirs["branches"] == ["main"]
    assert theirs["middle"] == dataset.files["data/train-00001.parquet"][1000:1050].hex()
    assert theirs["errors"] == [
        "RemoteEntryNotFoundError", "RepositoryNotFoundError", "GatedRepoError", "RevisionNotFoundError",
        "RemoteEntryNotFoundError",
    ]  # fmt: skip
    assert {name: (tmp_path / "theirs" / name).read_bytes() for name in dataset.files} == dataset.files
