"""Encoding the text of an existing dataset again, with another tokenizer.

The documents are those of the dataset's corpus, and all settings those of its manifest. The result goes where a run of
the dataset's recipe with that tokenizer would look for it, so the run finds it up to date; the old one stays.
"""

from __future__ import annotations

from pathlib import Path

from lumilab.artifact import Artifact
from lumilab.dataset.encoding import checked_tokenizer
from lumilab.dataset.pack import build_dataset
from lumilab.errors import ConfigError, InputError, MismatchError
from lumilab.pipeline.plan import stage_key
from lumilab.pipeline.records import FILE_NAME, current_artifact
from lumilab.pipeline.stages import STAGES
from lumilab.recipe.dataset import DatasetConfig
from lumilab.work.context import WorkContext
from lumilab.work.lock import exclusive

PACKING = ("dataset", "seed")  # what of a dataset's configuration is its own, and no property of its inputs


def repack(folder: Path, tokenizer_folder: Path | None, out: Path | None, context: WorkContext) -> Artifact:
    """Packs a dataset's corpus anew and publishes the result.

    Args:
        folder: of the dataset, or of a run for its current one.
        tokenizer_folder: of the tokenizer artifact, or of a run; None for the current one of the run that the dataset
            is in.
        out: the new dataset's folder; None for a folder beside the old one, named by its key.
        context: where to report, and whether to stop.

    Returns:
        The new dataset, or the one that was there already.

    Raises:
        InputError: the dataset, its corpus or the tokenizer is missing.
        DamageError: one of them is not as it was published.
        ConfigError: what is in the place of the result is no dataset.
        MismatchError: one of them is something else, or the corpus is another by now.
    """
    dataset = _meant(folder, "dataset")
    corpus = _corpus_of(dataset)
    tokenizer = _meant(tokenizer_folder, "tokenizer") if tokenizer_folder else _tokenizer_of_run(dataset)
    made_with, given = dataset.manifest.config["tokenizer_identity"], checked_tokenizer(tokenizer).identity
    place = (dataset.path / dataset.manifest.inputs["tokenizer"].path).resolve()
    context.report.say(f"  made with the tokenizer {made_with[:12]} ({place})", style="dim")
    context.report.say(f"  to be encoded with      {given[:12]} ({tokenizer.path})", style="dim")
    if given == made_with and out is None:
        context.report.say("  These are the same: nothing to do.")
        return dataset
    target = (out or dataset.path.with_name(_key(dataset, corpus, tokenizer))).absolute()
    if target.exists() and not (target / "manifest.json").exists():
        raise ConfigError(
            "There is something there that is no dataset", where=str(target), mend="choose another --out."
        )
    with exclusive(target, context):
        if (target / "manifest.json").exists():
            return _already_there(target, dataset, corpus, tokenizer)
        config = DatasetConfig.model_validate(dataset.manifest.config["dataset"])
        return build_dataset(config, dataset.manifest.config["seed"], corpus, tokenizer, target, context)


def _meant(folder: Path, kind: str) -> Artifact:
    """An artifact by its folder, or the current one of a run's folder."""
    found = current_artifact(folder, kind) if (folder / FILE_NAME).is_file() else None
    return found or Artifact.open(folder, kind=kind)


def _key(dataset: Artifact, corpus: Artifact, tokenizer: Artifact) -> str:
    """The key that the dataset's stage has with this tokenizer."""
    stage = next(stage for stage in STAGES if stage.name == "dataset")
    config = {name: dataset.manifest.config[name] for name in PACKING}
    return stage_key(stage, config, {"corpus": corpus.digest, "tokenizer": tokenizer.digest})


def _corpus_of(dataset: Artifact) -> Artifact:
    record = dataset.manifest.inputs["corpus"]
    corpus = Artifact.open((dataset.path / record.path).resolve(), kind="corpus")
    if corpus.digest != record.digest:
        raise MismatchError(
            f"The dataset was made of the corpus {record.digest[:12]}, and there is {corpus.digest[:12]} in its place",
            where=str(corpus.path),
            mend="pack the corpus that is there with `lumi pack RECIPE`, or bring the old one back.",
        )
    return corpus


def _tokenizer_of_run(dataset: Artifact) -> Artifact:
    run = dataset.path.parent.parent
    tokenizer = current_artifact(run, "tokenizer")
    if tokenizer is None:
        reason = "its run has none yet" if (run / FILE_NAME).exists() else "the dataset is not in a run's folder"
        raise InputError(
            f"Which tokenizer? None was given, and {reason}",
            where=str(dataset.path),
            mend="give the folder of one with --tokenizer.",
        )
    return tokenizer


def _already_there(target: Path, dataset: Artifact, corpus: Artifact, tokenizer: Artifact) -> Artifact:
    """What is in the place of the result, if it is the result.

    Raises:
        MismatchError: it is something else.
    """
    found = Artifact.open(target, kind="dataset")
    digests = {name: record.digest for name, record in found.manifest.inputs.items()}
    same = all(found.manifest.config.get(name) == dataset.manifest.config[name] for name in PACKING)
    if not same or digests != {"corpus": corpus.digest, "tokenizer": tokenizer.digest}:
        raise MismatchError(
            "Another dataset is in the way", where=str(target), mend="give another folder with --out, or delete it."
        )
    return found
