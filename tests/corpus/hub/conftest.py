from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stand_in_hub import Repository, StandInHub, environment, noise, stand_in_hub

from lumilab.corpus.hub.connection import Limits
from lumilab.corpus.hub.persistence import Patience


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    """A stand-in hub, empty, that the environment points to."""
    with stand_in_hub() as served:
        for name, value in environment(served.endpoint, tmp_path).items():
            monkeypatch.setenv(name, value)
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
            monkeypatch.delenv(name, raising=False)
        yield served


@pytest.fixture
def patience() -> Patience:
    """As by default, but in milliseconds."""
    return Patience(tries=4, first_pause=0.01, longest_pause=0.05, limits=Limits(silence=0.4))


@pytest.fixture
def dataset(hub: StandInHub) -> Repository:
    """Five parquet files by name (their content is noise), one of them small enough to live in git."""
    files = {f"data/train-0000{number}.parquet": noise(300_000 + number, number) for number in range(4)}
    repository = Repository({**files, "data/train-00004.parquet": noise(700), "README.md": b"# Card\n"})
    hub.repositories["owner/name"] = repository
    return repository
