"""A branch of the hub that moves while a corpus is planned and built."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from stand_in_hub import Repository, StandInHub
from tiny_corpus import quiet_context

from lumilab.artifact import digest_of
from lumilab.corpus.build import build_corpus
from lumilab.corpus.plan import raw_inventory
from lumilab.errors import ConfigError, InputError
from lumilab.pipeline.ranks import build_corpus_as_rank
from lumilab.recipe import load_recipe
from lumilab.recipe.corpus import CorpusConfig, HubSource
from lumilab.work.ranks import Rank


def test_it_is_noticed_before_anything_is_read(hub: StandInHub, tmp_path: Path) -> None:
    hub.repositories["owner/name"] = Repository({"train.jsonl": b'{"text": "as it was"}\n'})
    config = CorpusConfig(sources=[HubSource(dataset="owner/name")], min_characters=1, workers=1)
    planned = digest_of([asdict(file) for file in raw_inventory(config)[0]])
    context = quiet_context()[0]
    assert build_corpus(config, tmp_path / "same", context, raw=planned)
    moved = hub.repositories["owner/name"] = Repository({"train.jsonl": b'{"text": "as it is now"}\n'})
    with pytest.raises(InputError, match="changed in the meantime") as caught:
        build_corpus(config, tmp_path / "moved", context, raw=planned)
    assert moved.commit in str(caught.value.where)
    assert not (tmp_path / "moved").exists()


def test_ranks_must_name_a_commit(hub: StandInHub, tmp_path: Path) -> None:
    repository = hub.repositories["owner/name"] = Repository({"train.jsonl": b'{"text": "the same for all"}\n'})
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "{extends: tiny, name: r, corpus: {min_characters: 1, sources: [{kind: hub, dataset: owner/name}]}}"
    )
    context = quiet_context()[0]
    with pytest.raises(ConfigError, match="cannot stream revision 'main' of owner/name"):
        build_corpus_as_rank(load_recipe(str(recipe)).recipe, tmp_path / "run", context, Rank(0, 1))
    assert hub.seen == []
    source = f"{{kind: hub, dataset: owner/name, revision: {repository.commit}}}"
    pinned = load_recipe(str(recipe), [f"corpus.sources=[{source}]"]).recipe
    corpus = build_corpus_as_rank(pinned, tmp_path / "run", context, Rank(0, 1))
    assert corpus is not None
    assert corpus.manifest.statistics["documents"] == 1
