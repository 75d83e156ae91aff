from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import hub_faults as faults
import pytest
from rich.console import Console
from stand_in_hub import Fault, Handler, Repository, StandInHub, blob_id, noise

from lumilab.corpus.hub.connection import Limits
from lumilab.corpus.hub.download import Request, download
from lumilab.corpus.hub.persistence import Manners, Patience
from lumilab.corpus.hub.record import DatasetRecord, state_of
from lumilab.corpus.hub.transfer import note_path, part_path
from lumilab.errors import ConfigError, DamageError, InputError, Interrupted, ResourceError
from lumilab.work.context import WorkContext
from lumilab.work.progress import Reporter, Task
from lumilab.work.stopping import StopRequest

FIRST = "data/train-00000.parquet"


def context(stop: StopRequest | None = None) -> tuple[WorkContext, io.StringIO]:
    lines = io.StringIO()
    return WorkContext(Reporter(Console(file=lines, width=200)), stop or StopRequest()), lines


def fetch(folder: Path, patience: Patience, **request: object) -> tuple[DatasetRecord, str]:
    work, lines = context()
    record = download(Request("owner/name", **request), folder, work, patience)  # type: ignore[arg-type]
    return record, lines.getvalue()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.parquet")}


def data(repository: Repository) -> dict[str, bytes]:
    return {name: content for name, content in repository.files.items() if name.endswith(".parquet")}


def test_every_file_arrives_whole_and_is_recorded(
    hub: StandInHub, dataset: Repository, tmp_path: Path, patience: Patience
) -> None:
    record, lines = fetch(tmp_path / "here", patience)
    assert contents(tmp_path / "here") == data(dataset)
    written = json.loads((tmp_path / "here" / "dataset.json").read_bytes())
    assert written["commit"] == dataset.commit
    assert {file["name"]: (file["size"], file["sha256"], file["blob"]) for file in written["files"]}[
        "data/train-00004.parquet"
    ] == (
        700,
        hashlib.sha256(dataset.files["data/train-00004.parquet"]).hexdigest(),
        blob_id(dataset.files["data/train-00004.parquet"]),
    )
    assert [file.sha256 for file in record.files] == [
        hashlib.sha256(content).hexdigest() for _, content in sorted(data(dataset).items())
    ]
    assert DatasetRecord.read(tmp_path / "here") == record
    assert not [path for path in (tmp_path / "here").rglob("*") if ".part" in path.name]
    assert "train-00003.parquet: 300" in lines
    assert "Downloading: 1.2" in lines or "Downloading: 1,200," in lines


def test_what_is_there_is_not_fetched_again(
    hub: StandInHub, dataset: Repository, tmp_path: Path, patience: Patience
) -> None:
    fetch(tmp_path / "here", patience)
    hub.sent.clear()
    fetch(tmp_path / "here", patience)
    assert not hub.sent
    (tmp_path / "here" / FIRST).unlink()
    fetch(tmp_path / "here", patience)
    assert hub.sent == {FIRST: 300_000}
    # Without the record, the files themselves are hashed.
    (tmp_path / "here" / "dataset.json").unlink()
    damaged = tmp_path / "here" / "data/train-00001.parquet"
    damaged.write_bytes(b"x" + damaged.read_bytes()[1:])
    hub.sent.clear()
    fetch(tmp_path / "here", patience)
    assert hub.sent == {"data/train-00001.parquet": 300_001}
    assert contents(tmp_path / "here") == data(dataset)


@pytest.mark.parametrize(
    "fault",
    [
        faults.cut_after(0),
        faults.cut_after(100_000),
        faults.status(500),
        faults.status(503, Retry_After="0"),
        faults.status(429, Retry_After="0"),
        faults.status(429),
        faults.status(403),
        faults.another_content,
        faults.another_length(5),
        faults.another_length(-5),
        faults.silence,
        faults.drip(0.05),
    ],
)
def test_one_fault_of_each_kind_is_mended(
    hub: StandInHub, dataset: Repository, tmp_path: Path, patience: Patience, fault: Fault
) -> None:
    hub.faults += [fault, faults.cut_after(100_000)]
    fetch(tmp_path / "here", patience, workers=2)
    assert contents(tmp_path / "here") == data(dataset)
    assert not hub.faults


def test_a_cut_connection_goes_on_behind_the_last_byte(
    hub: StandInHub, dataset: Repository, tmp_path: Path, patience: Patience
) -> None:
    hub.faults += [faults.cut_after(200_000), faults.cut_after(50_000)]
    fetch(tmp_path / "here", patience, workers=1)
    assert sum(hub.sent.values()) == sum(map(len, data(dataset).values()))


def test_a_pause_that_is_asked_for_is_kept_by_all_and_said_once(
    hub: StandInHub, dataset: Repository, tmp_path: Path, patience: Patience
) -> None:
    hub.faults += [faults.status(429, Retry_After="1")]
    began = time.monotonic()
    _, lines = fetch(tmp_path / "here", patience, workers=3)
    assert time.monotonic() - began >= 1
    assert lines.count("asks for a pause (status 429); waiting 1.0 s") == 1
    said: list[str] = []
    manners = Manners(patience, say=said.append)
    for _ in range(5):
        manners.pause_all(60, "Busy")
    assert said == ["Busy; waiting 1 min 00 s."]


def test_as_many_files_at_a_time_as_there_are_workers(
    hub: StandInHub, dataset: Repository, tmp_path: Path, patience: Patience
) -> None:
    together = threading.Barrier(3, timeout=20)

    def with_others(handler: Handler, body: bytes) -> bool:
        together.wait()
        return False

    hub.faults += [with_others] * 3
    fetch(tmp_path / "here", replace(patience, limits=Limits(silence=20)), workers=3)
    assert not together.broken
    assert contents(tmp_path / "here") == data(dataset)


def test_a_renamed_dataset_is_followed_with_the_token(
    hub: StandInHub, dataset: Repository, tmp_path: Path, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.renamed["old/name"] = "owner/name"
    dataset.gated, hub.token = True, "hf_secret"
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    download(Request("old/name"), tmp_path / "here", context()[0], patience)
    assert contents(tmp_path / "here") == data(dataset)


def test_pauses_may_be_dates_and_windows_and_have_an_end(
    hub: StandInHub, dataset: Repository, tmp_path: Path, patience: Patience
) -> None:
    hub.faults += [faults.status(429, Retry_After=formatdate(time.time() - 5, usegmt=True))]
    fetch(tmp_path / "here", patience)
    hub.lasting = faults.status(429, RateLimit='"resolvers";r=0;t=4000')
    with pytest.raises(ResourceError, match="asks to wait 1 h 06 min"):
        fetch(tmp_path / "there", patience)
    assert not contents(tmp_path / "there")


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (faults.status(500), ResourceError, "status 500; gave up after 4 tries"),
        (faults.cut_after(0), ResourceError, "gave up after 4 tries"),
        (faults.silence, ResourceError, "no answer in time"),
        (faults.another_content, DamageError, "size or hash differs"),
        (faults.another_length(-1), DamageError, "size or hash differs"),
        (faults.another_length(1), DamageError, "size or hash differs"),
    ],
)
def test_a_lasting_fault_ends_with_words_and_no_file(
    hub: StandInHub,
    dataset: Repository,
    tmp_path: Path,
    patience: Patience,
    fault: Fault,
    kind: type,
    words: str,
) -> None:
    hub.lasting = fault
    with pytest.raises(kind, match=words):
        fetch(tmp_path / "here", patience)
    assert not contents(tmp_path / "here")
    record = DatasetRecord.read(tmp_path / "here")
    assert state_of(tmp_path / "here", record).complete_files == 0


def test_an_expired_address_is_asked_for_anew(
    hub: StandInHub, dataset: Repository, tmp_path: Path, patience: Patience
) -> None:
    hub.lifetime = 0
    with pytest.raises(ResourceError, match="status 403"):
        fetch(tmp_path / "here", patience)
    hub.lifetime = 1
    hub.faults += [faults.cut_after(10)] * 3
    fetch(tmp_path / "here", patience)
    assert contents(tmp_path / "here") == data(dataset)


def test_the_token_is_for_the_hub_alone(
    hub: StandInHub, dataset: Repository, tmp_path: Path, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset.gated, hub.token = True, "hf_secret"
    with pytest.raises(InputError, match="gated") as caught:
        fetch(tmp_path / "here", patience)
    assert "HF_TOKEN" in (caught.value.mend or "")
    assert f"{hub.endpoint}/datasets/owner/name" in (caught.value.mend or "")
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text("hf_secret\n")
    fetch(tmp_path / "here", patience)
    assert contents(tmp_path / "here") == data(dataset)
    (tmp_path / "hf" / "token").write_text("another")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.seen.clear()
    fetch(tmp_path / "there", patience)
    ours = [headers for _, path, headers in hub.seen if "signature" not in path]
    storage = [headers for _, path, headers in hub.seen if "signature" in path]
    assert len(storage) == 4
    assert all(headers["Authorization"] == "Bearer hf_secret" for headers in ours)
    assert not any("Authorization" in headers for headers in storage)


def test_a_file_that_changed_on_the_hub_begins_anew(
    hub: StandInHub, dataset: Repository, tmp_path: Path, patience: Patience
) -> None:
    here = tmp_path / "here"
    fetch(here, patience)
    for name in (FIRST, "data/train-00001.parquet"):  # as a kill in the middle leaves them
        path = here / name
        part = part_path(path)
        part.write_bytes(path.read_bytes()[:200_000])
        identity = hashlib.sha256(path.read_bytes()).hexdigest()
        note_path(part).write_text(json.dumps({"identity": identity, "etag": None}))
        path.unlink()
    dataset.files = {**dataset.files, FIRST: noise(300_000, 99), "data/train-00002.parquet": noise(300_002, 98)}
    hub.sent.clear()
    fetch(here, patience)
    assert contents(here) == data(dataset)
    assert hub.sent == {FIRST: 300_000, "data/train-00001.parquet": 100_001, "data/train-00002.parquet": 300_002}
    assert DatasetRecord.read(here).commit == dataset.commit


@pytest.mark.parametrize("reason", ["another ETag", "no ranges"])
def test_a_server_that_sends_all_of_it_again_is_understood(
    hub: StandInHub, dataset: Repository, tmp_path: Path, patience: Patience, reason: str
) -> None:
    path = tmp_path / "here" / FIRST
    path.parent.mkdir(parents=True)
    part_path(path).write_bytes(dataset.files[FIRST][:200_000])
    identity = hashlib.sha256(dataset.files[FIRST]).hexdigest()
    note_path(part_path(path)).write_text(json.dumps({"identity": identity, "etag": '"old"'}))
    hub.ranges = reason != "no ranges"
    fetch(tmp_path / "here", patience)
    assert contents(tmp_path / "here") == data(dataset)
    assert hub.sent[FIRST] == 300_000


class Dawdler(Reporter):
    """Shows the first file only when it is complete."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Console(file=io.StringIO()))
        self.path, self.tasks = folder / FIRST, dict[str, Task]()

    @contextmanager
    def task(
        self, name: str, total: int | None = None, unit: str = "items", worth_a_line: float = 0.0
    ) -> Iterator[Task]:
        deadline = time.monotonic() + 60
        while FIRST in name and not self.path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        with super().task(name, total, unit, worth_a_line) as task:
            self.tasks[name.strip()] = task
            yield task


def test_what_was_there_is_counted_however_late_a_file_is_shown(
    hub: StandInHub, dataset: Repository, tmp_path: Path, patience: Patience
) -> None:
    part = part_path(tmp_path / "here" / FIRST)
    part.parent.mkdir(parents=True)
    part.write_bytes(dataset.files[FIRST][:200_000])
    identity = hashlib.sha256(dataset.files[FIRST]).hexdigest()
    note_path(part).write_text(json.dumps({"identity": identity, "etag": None}))
    dawdler = Dawdler(tmp_path / "here")
    download(Request("owner/name"), tmp_path / "here", WorkContext(dawdler, StopRequest()), patience)
    assert hub.sent[FIRST] == 100_000
    assert dawdler.tasks[FIRST].done == 300_000


def test_a_trial_takes_the_two_smallest_files_into_a_folder_of_its_own(
    hub: StandInHub, dataset: Repository, tmp_path: Path, patience: Patience
) -> None:
    record, _ = fetch(tmp_path / "here", patience, trial=True)
    assert [file.name for file in record.files] == [FIRST, "data/train-00004.parquet"]
    assert record.trial
    assert Request("owner/name", trial=True).folder(tmp_path) == tmp_path / "owner/name" / "default-test"
    assert Request("fineweb").folder(tmp_path) == tmp_path / "fineweb" / "sample-10BT"


def test_a_stop_leaves_what_has_arrived(
    hub: StandInHub, dataset: Repository, tmp_path: Path, patience: Patience
) -> None:
    stop = StopRequest()

    def then_stop(handler: Handler, body: bytes) -> bool:
        handler.begin(len(body))
        handler.send(body[:150_000])
        time.sleep(0.1)
        stop.request(signal.SIGINT)
        time.sleep(0.3)
        return True

    hub.faults += [then_stop]
    with pytest.raises(Interrupted):
        download(Request("owner/name", workers=1), tmp_path / "here", context(stop)[0], patience)
    hub.sent.clear()
    fetch(tmp_path / "here", patience)
    assert sum(hub.sent.values()) == sum(map(len, data(dataset).values())) - 150_000


def test_a_full_disk_is_said_before_and_during(
    hub: StandInHub, dataset: Repository, tmp_path: Path, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
        with pytest.raises(ResourceError, match=r"1.2 MB|1\.00M|free and the download needs"):
            fetch(tmp_path / "here", patience)
    if os.path.exists("/dev/full"):  # noqa: PTH110 - a device on which every write says that the disk is full
        part = part_path(tmp_path / "here" / FIRST)
        part.parent.mkdir(parents=True, exist_ok=True)
        part.symlink_to("/dev/full")
        note_path(part).write_text("{}")
        monkeypatch.setattr("lumilab.corpus.hub.transfer.Transfer._remove", lambda transfer: None)
        with pytest.raises(ResourceError, match="disk is full"):
            fetch(tmp_path / "here", patience)


@pytest.mark.parametrize(
    ("request_", "kind", "words"),
    [
        (Request("finweb"), ConfigError, "fineweb"),
        (Request("owner/nam"), InputError, "owner/name"),
        (Request("owner/name", revision="mian"), InputError, "main"),
        (Request("owner/name", subset="dat"), InputError, "data"),
        (Request("wikipedia", subset="20231101.xx"), InputError, "20231101.en"),
        (Request("openwebtext", subset="plain"), ConfigError, "plain_text"),
    ],
)
def test_mistaken_names_are_answered_with_the_nearest(
    hub: StandInHub, dataset: Repository, tmp_path: Path, patience: Patience,
    request_: Request, kind: type[InputError | ConfigError], words: str,
) -> None:  # fmt: skip
    hub.repositories["wikimedia/wikipedia"] = Repository({"20231101.en/train-0.parquet": b"x"})
    hub.repositories["Skylion007/openwebtext"] = Repository({"plain_text/train-0.parquet": b"x"})
    with pytest.raises(kind) as caught:
        download(request_, tmp_path / "here", context()[0], patience)
    assert words in (caught.value.mend or "")


def test_a_folder_of_another_dataset_is_left_alone(
    hub: StandInHub, dataset: Repository, tmp_path: Path, patience: Patience
) -> None:
    fetch(tmp_path / "here", patience)
    hub.repositories["owner/other"] = Repository({"a.jsonl": b"{}\n"})
    with pytest.raises(InputError, match="another dataset: owner/name default"):
        download(Request("owner/other"), tmp_path / "here", context()[0], patience)
