"""Opening and checking: every byte of an artifact counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from lumilab.artifact import Artifact, ArtifactBuilder
from lumilab.errors import DamageError, InputError, MismatchError


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    with ArtifactBuilder(tmp_path / "thing", kind="thing", config={"size": 3}) as builder:
        builder.write_bytes("a.txt", b"alpha")
        builder.write_bytes("deep/b.bin", bytes(range(40)))
        builder.write_bytes("empty", b"")
        builder.statistics = {"files": 3}
        return builder.publish()


def found(artifact: Artifact) -> list[str]:
    return [f"{problem.path.relative_to(artifact.path).as_posix()} {problem.what}" for problem in artifact.problems()]


@pytest.mark.parametrize("name", ["a.txt", "deep/b.bin", "manifest.json"])
def test_every_flipped_byte_of_every_file_is_found_and_named(artifact: Artifact, name: str) -> None:
    path = artifact.path / name
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        if name == "manifest.json":
            with pytest.raises(DamageError) as caught:
                Artifact.open(artifact.path)
            assert caught.value.where == str(path)
        else:
            assert [str(problem) for problem in Artifact.open(artifact.path).problems()] == [
                f"{path} has other content than was published (SHA-256 differs)"
            ]
    path.write_bytes(whole)
    assert found(Artifact.open(artifact.path)) == []


def test_a_cut_file_is_refused_when_opening(artifact: Artifact) -> None:
    (artifact.path / "deep" / "b.bin").write_bytes(bytes(39))
    assert found(artifact) == ["deep/b.bin has 39 bytes instead of 40"]
    with pytest.raises(DamageError, match="39 bytes instead of 40") as caught:
        Artifact.open(artifact.path)
    assert caught.value.where == str(artifact.path / "deep" / "b.bin")
    assert caught.value.exit_code == 4


def test_a_missing_file_is_refused_when_opening(artifact: Artifact) -> None:
    (artifact.path / "empty").unlink()
    assert found(artifact) == ["empty is missing"]
    with pytest.raises(DamageError, match="is missing"):
        Artifact.open(artifact.path)


def test_a_folder_in_the_place_of_a_file_counts_as_missing(artifact: Artifact) -> None:
    (artifact.path / "empty").unlink()
    (artifact.path / "empty").mkdir()
    assert found(artifact) == ["empty is missing"]


def test_a_file_that_does_not_belong_is_found(artifact: Artifact) -> None:
    (artifact.path / "deep" / "more").write_bytes(b"")
    assert found(artifact) == ["deep/more is not part of the artifact"]
    Artifact.open(artifact.path)


def test_a_file_that_cannot_be_read_is_a_problem_and_not_the_end(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_disk(path: Path) -> None:
        raise OSError(5, "Input/output error", str(path))

    (artifact.path / "zz").write_bytes(b"")
    monkeypatch.setattr("lumilab.artifact.open.hash_file", broken_disk)
    assert found(artifact)[-2:] == ["empty cannot be read (Input/output error)", "zz is not part of the artifact"]


def test_the_kind_is_checked(artifact: Artifact) -> None:
    with pytest.raises(MismatchError, match="Expected a corpus, but this is a thing") as caught:
        Artifact.open(artifact.path, kind="corpus")
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("make", ["nothing", "folder", "file"])
def test_what_is_no_artifact_is_bad_input(tmp_path: Path, make: str) -> None:
    path = tmp_path / "here"
    if make == "folder":
        path.mkdir()
    elif make == "file":
        path.write_bytes(b"text")
    with pytest.raises(InputError, match="does not exist" if make == "nothing" else r"no manifest\.json") as caught:
        Artifact.open(path, kind="checkpoint")
    assert caught.value.where == str(path)
    assert caught.value.exit_code == 3
    assert caught.value.mend


def test_a_file_the_manifest_does_not_list_cannot_be_asked_for(artifact: Artifact) -> None:
    assert artifact.file("a.txt") == artifact.path / "a.txt"
    with pytest.raises(DamageError, match="has no file model"):
        artifact.file("model")
