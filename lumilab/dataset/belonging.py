"""Whether a dataset and a tokenizer belong together: ids mean nothing with another vocabulary."""

from __future__ import annotations

from lumilab.artifact import Artifact
from lumilab.errors import MismatchError
from lumilab.tokenizer.load import Tokenizer


def tokenizer_for(dataset: Artifact, tokenizer: Artifact) -> Tokenizer:
    """Loads the tokenizer if it is the one that a dataset was made with.

    Raises:
        MismatchError: it is another one; the message names both, and the command that encodes the text again.
        InputError: it cannot be loaded.
    """
    loaded = Tokenizer.load(tokenizer.path)
    made_with = dataset.manifest.config["tokenizer_identity"]
    if loaded.identity != made_with:
        record = dataset.manifest.inputs.get("tokenizer")
        place = f" ({(dataset.path / record.path).resolve()})" if record else ""
        raise MismatchError(
            f"The dataset was made with the tokenizer {made_with[:12]}{place}, "
            f"not with {loaded.identity[:12]} ({tokenizer.path})",
            where=str(dataset.path),
            mend=f"encode its text again with `lumi pack --repack {dataset.path} --tokenizer {tokenizer.path}`, or use "
            "the tokenizer it was made with.",
        )
    return loaded
