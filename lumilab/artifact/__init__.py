"""What the stages hand on: folders that are whole, named by their content, and know where they came from."""

from lumilab.artifact.lineage import RawFile, Step, artifacts_below, examine, raw_files, record_raw_files, walk
from lumilab.artifact.manifest import Manifest, canonical_json, digest_of, hash_file
from lumilab.artifact.open import Artifact, Problem
from lumilab.artifact.publish import (
    ArtifactBuilder,
    building_folder,
    sweep_leftovers,
    work_folder,
    write_atomically,
)

__all__ = [
    "Artifact",
    "ArtifactBuilder",
    "Manifest",
    "Problem",
    "RawFile",
    "Step",
    "artifacts_below",
    "building_folder",
    "canonical_json",
    "digest_of",
    "examine",
    "hash_file",
    "raw_files",
    "record_raw_files",
    "sweep_leftovers",
    "walk",
    "work_folder",
    "write_atomically",
]
