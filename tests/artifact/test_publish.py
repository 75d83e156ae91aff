"""Publishing: whole or not there, whatever happens in between."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lumilab.artifact import Artifact, ArtifactBuilder, write_atomically
from lumilab.errors import InputError, ResourceError

SCRIPT = Path(__file__).with_name("killed_at_every_line.py")


def publish(
    target: Path, text: str = "hello", *, replace: bool = False, inputs: dict[str, Artifact] | None = None
) -> Artifact:
    with ArtifactBuilder(target, kind="thing", config={"text": text}, inputs=inputs) as builder:
        builder.write_bytes("a.txt", text.encode())
        with builder.open("deep/b.bin") as file:
            file.write(bytes(100))
        builder.statistics = {"letters": len(text)}
        return builder.publish(replace=replace)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_published_is_what_is_opened(tmp_path: Path) -> None:
    artifact = publish(tmp_path / "thing")
    again = Artifact.open(tmp_path / "thing", kind="thing")
    assert again == artifact
    assert list(again.problems()) == []
    assert again.file("a.txt").read_bytes() == b"hello"
    assert again.file("deep/b.bin").stat().st_size == 100
    assert names_in(tmp_path) == ["thing"]


def test_values_come_back_in_the_form_they_will_be_read_in(tmp_path: Path) -> None:
    with ArtifactBuilder(tmp_path / "thing", kind="thing", config={"betas": (0.9, 0.95)}) as builder:
        builder.statistics = {"lengths": {2: 1, 10: 3}}
        artifact = builder.publish()
    assert artifact.manifest.config == {"betas": [0.9, 0.95]}
    assert artifact.manifest.statistics == {"lengths": {"2": 1, "10": 3}}
    assert Artifact.open(tmp_path / "thing") == artifact


def test_the_digest_depends_on_neither_place_nor_time_nor_order_of_writing(tmp_path: Path) -> None:
    first = publish(tmp_path / "here" / "thing")
    with ArtifactBuilder(tmp_path / "elsewhere" / "other name", kind="thing", config={"text": "hello"}) as builder:
        builder.write_bytes("deep/b.bin", bytes(100))
        builder.write_bytes("a.txt", b"hello")
        builder.environment = {"created": "1999-12-31", "host": "another"}
        second = builder.publish()
    assert second.digest == first.digest
    assert publish(tmp_path / "third", "other").digest != first.digest


def test_without_publish_nothing_is_left(tmp_path: Path) -> None:
    with ArtifactBuilder(tmp_path / "thing", kind="thing", config={}) as builder:
        builder.write_bytes("a", b"1")
    assert names_in(tmp_path) == []


def test_after_an_error_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(KeyError), ArtifactBuilder(tmp_path / "thing", kind="thing", config={}) as builder:
        builder.write_bytes("a", b"1")
        raise KeyError("a defect in the work")
    assert names_in(tmp_path) == []


def test_a_value_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"), ArtifactBuilder(tmp_path / "t", kind="thing", config={}) as builder:
        builder.statistics = {"loss": float("nan")}
        builder.publish()
    assert names_in(tmp_path) == []


def test_an_existing_artifact_is_kept_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    old = publish(tmp_path / "thing", "old")
    with pytest.raises(FileExistsError):
        publish(tmp_path / "thing", "new")
    assert Artifact.open(tmp_path / "thing") == old
    new = publish(tmp_path / "thing", "new", replace=True)
    assert Artifact.open(tmp_path / "thing") == new != old
    assert names_in(tmp_path) == ["thing"]


@pytest.mark.parametrize("replace", [False, True])
def test_a_folder_that_is_no_artifact_is_never_removed(tmp_path: Path, replace: bool) -> None:
    mine = tmp_path / "thing" / "diary.txt"
    mine.parent.mkdir()
    mine.write_text("dear diary")
    with pytest.raises(InputError, match="in the way"):
        publish(tmp_path / "thing", replace=replace)
    assert mine.read_text() == "dear diary"
    assert names_in(tmp_path) == ["thing"]


def test_the_manifest_cannot_be_written_by_hand(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="manifest"),
        ArtifactBuilder(tmp_path / "t", kind="thing", config={}) as builder,
    ):
        builder.write_json("manifest.json", {})


def test_inputs_are_found_when_the_run_moves_and_when_it_is_reached_through_a_link(
    tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    (tmp_path / "disk" / "deep" / "down").mkdir(parents=True)
    link(tmp_path / "runs", tmp_path / "disk" / "deep" / "down")
    source = publish(tmp_path / "source", "source")
    product = publish(tmp_path / "runs" / "product", "product", inputs={"source": source})
    path = product.path.resolve() / product.manifest.inputs["source"].path
    assert Artifact.open(path.resolve()) == Artifact.open(source.path.resolve())

    publish(tmp_path / "run" / "a", "a")
    publish(tmp_path / "run" / "b" / "final", "b", inputs={"a": Artifact.open(tmp_path / "run" / "a")})
    (tmp_path / "run").rename(tmp_path / "moved")
    moved = Artifact.open(tmp_path / "moved" / "b" / "final")
    assert (moved.path / moved.manifest.inputs["a"].path).resolve() == (tmp_path / "moved" / "a").resolve()


def test_leftovers_of_killed_builders_are_swept_and_nothing_else(tmp_path: Path) -> None:
    for name in (".th[i]ng.building-1", ".th[i]ng.replaced-2", ".thing.building-3", ".other.building-4", "th[i]ng.txt"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").write_bytes(b"x")
    publish(tmp_path / "th[i]ng")
    assert names_in(tmp_path) == [".other.building-4", ".thing.building-3", "th[i]ng", "th[i]ng.txt"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to kill a builder at every line")
@pytest.mark.parametrize("mode", ["new", "replace"])
def test_killed_before_any_line_the_artifact_is_whole_or_not_there(tmp_path: Path, mode: str) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "work", mode], capture_output=True, text=True, check=True, timeout=240
    )
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(kills) > 60
    assert {kill["state"] for kill in kills} == ({"none", "new"} if mode == "new" else {"old", "none", "new"})
    assert all(kill["clean"] for kill in kills)
    order = ["old", "none", "new"] if mode == "replace" else ["none", "new"]
    positions = [order.index(kill["state"]) for kill in kills]
    assert positions == sorted(positions)
    # The only moment without an artifact while one is replaced is the one between the two renames.
    assert mode == "new" or positions.count(1) <= 2


class FailsOnce:
    """A system call that fails at one of its turns; a file that cannot be closed properly is closed all the same."""

    def __init__(self, call: str, turn: int) -> None:
        self.real = getattr(os, call)
        self.turn = turn
        self.calls = 0

    def __call__(self, *arguments: object) -> object:
        self.calls += 1
        fails = self.calls == self.turn
        result = None if fails and self.real is not os.close else self.real(*arguments)
        if fails:
            raise OSError(errno.EIO, "Input/output error")
        return result


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("call", ["fsync", "rename", "close"])
def test_a_failing_system_call_leaves_the_old_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, replace: bool
) -> None:
    """Each call of a kind fails in turn; publishing must end in an error, or in the whole new artifact."""
    failures = 0
    for turn in range(1, 100):
        folder = tmp_path / str(turn)
        folder.mkdir()
        if replace:
            publish(folder / "thing", "old")
        failing = FailsOnce(call, turn)
        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing)
            try:
                publish(folder / "thing", "new", replace=replace)
            except OSError:
                failures += 1
        found = Artifact.open(folder / "thing") if (folder / "thing").exists() else None
        assert found is None or list(found.problems()) == []
        assert found is not None or not replace, "an error must not lose the old artifact"
        publish(folder / "thing", "after", replace=found is not None)
        assert names_in(folder) == ["thing"]
        if failing.calls < turn:
            break
    assert failures >= (1 if call == "rename" else 3)


# --- a full disk -------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small tmpfs")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def by_plain_write(path: Path) -> None:
    with path.open("wb") as file:
        file.write(bytes(5_000_000))


def by_numpy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(1_000_000))


def by_safetensors(path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"weights": np.zeros(1_000_000)}, path)


def by_many_small_files(path: Path) -> None:
    for number in range(5_000):
        path.with_name(f"{path.name}{number}").write_bytes(bytes(1_000))


@pytest.mark.parametrize("write", [by_plain_write, by_numpy, by_safetensors, by_many_small_files])
def test_a_full_disk_is_explained_and_leaves_nothing(small_disk: Path, write: object) -> None:
    assert callable(write)
    with (
        pytest.raises(ResourceError, match="disk is full") as caught,
        ArtifactBuilder(small_disk / "thing", kind="thing", config={}) as builder,
    ):
        write(builder.path("data"))
        builder.publish()
    assert caught.value.exit_code == 5
    assert str(small_disk) in str(caught.value)
    assert names_in(small_disk) == []


def test_a_disk_that_is_full_at_the_manifest_leaves_nothing(small_disk: Path) -> None:
    with (
        pytest.raises(ResourceError, match="disk is full"),
        ArtifactBuilder(small_disk / "thing", kind="thing", config={}) as builder,
    ):
        builder.statistics = {"long": "x" * 10_000}
        free = shutil.disk_usage(small_disk).free
        builder.write_bytes("data", bytes(free - 8192))
        builder.publish()
    assert names_in(small_disk) == []


def test_a_small_file_keeps_its_old_content_on_a_full_disk(small_disk: Path) -> None:
    write_atomically(small_disk / "latest", b"step_1")
    (small_disk / "filler").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    with pytest.raises(OSError, match="No space left"):
        write_atomically(small_disk / "latest", b"step_2" * 10_000)
    assert (small_disk / "latest").read_bytes() == b"step_1"
    assert names_in(small_disk) == ["filler", "latest"]


# --- small files -------------------------------------------------------------------------------------------------


def test_a_small_file_is_replaced_whole(tmp_path: Path) -> None:
    write_atomically(tmp_path / "new folder" / "latest", b"one")
    write_atomically(tmp_path / "new folder" / "latest", b"two")
    assert (tmp_path / "new folder" / "latest").read_bytes() == b"two"
    assert names_in(tmp_path / "new folder") == ["latest"]


def test_a_small_file_keeps_its_old_content_when_its_write_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomically(tmp_path / "latest", b"one")

    def fails(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="Input/output"):
        write_atomically(tmp_path / "latest", b"two")
    assert (tmp_path / "latest").read_bytes() == b"one"
    assert names_in(tmp_path) == ["latest"]
