from __future__ import annotations

import gzip
import hashlib
import io
import json
import pickle
import tracemalloc
from dataclasses import replace
from pathlib import Path

import hub_faults as faults
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from stand_in_hub import Repository, StandInHub, noise

from lumilab.artifact import RawFile
from lumilab.corpus.document import Document, Record
from lumilab.corpus.hub import remote_stream
from lumilab.corpus.hub.api import Hub
from lumilab.corpus.hub.download import Request, download
from lumilab.corpus.hub.persistence import Manners, Patience
from lumilab.corpus.hub.record import DatasetRecord
from lumilab.corpus.hub.remote_stream import RemoteStream
from lumilab.corpus.sources import hub_dataset
from lumilab.corpus.sources.hub_dataset import HubDataset
from lumilab.corpus.sources.local_files import LocalFiles
from lumilab.errors import DamageError, InputError, Interrupted, MismatchError
from lumilab.recipe.corpus import FilesSource, HubSource
from lumilab.work.context import WorkContext
from lumilab.work.stopping import StopRequest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def records(source: HubDataset | LocalFiles) -> list[Record]:
    """As workers read them: tasks are pickled."""
    tasks = [pickle.loads(pickle.dumps(task)) for part in source.parts() for task in part.tasks]
    return [record for task in tasks for record in task.read(StopRequest())]


def table(rows: list[dict[str, object]], row_group: int) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out, row_group_size=row_group)
    return out.getvalue()


def rows(count: int, start: int = 0) -> list[dict[str, object]]:
    return [
        {"text": f"Document {number}. {noise(100, number).hex()}", "id": f"<urn:{number}>", "score": number / 7,
         "url": f"https://example.org/{number}", "language": "en"}
        for number in range(start, start + count)
    ]  # fmt: skip


@pytest.fixture
def pages(hub: StandInHub) -> Repository:
    """Two parquet files laid out as FineWeb's samples are."""
    repository = Repository(
        {
            "sample/10BT/000_00000.parquet": table(rows(1_000), 90),
            "sample/10BT/001_00000.parquet": table(rows(300, 1_000), 300),
            "sample/100BT/000_00000.parquet": table(rows(10), 10),
            "README.md": b"#",
        }
    )
    hub.repositories["HuggingFaceFW/fineweb"] = repository
    return repository


def fetch(folder: Path, patience: Patience, request: Request) -> DatasetRecord:
    return download(request, folder, WorkContext(), patience)


def test_streamed_downloaded_and_local_rows_are_the_same_documents(
    hub: StandInHub, pages: Repository, tmp_path: Path, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_dataset, "TASK_BYTES", 60_000)
    monkeypatch.setattr(remote_stream, "BLOCK_BYTES", 10_000)
    streamed = HubDataset(HubSource(name="web", dataset="fineweb"), patience)
    expected = [
        Document(
            f"web:sample/10BT/00{file}_00000.parquet:{line}",
            str(row["text"]),
            "web",
            str(row["url"]),
            {"id": row["id"], "score": row["score"], "language": "en"},
        )
        for file, part in enumerate((rows(1_000), rows(300, 1_000)))
        for line, row in enumerate(part, 1)
    ]
    assert records(streamed) == expected
    assert len(streamed.parts()[0].tasks) > 4
    fetch(tmp_path / "here", patience, Request("fineweb"))
    downloaded = HubDataset(HubSource(name="web", dataset="fineweb", folder=str(tmp_path / "here")), patience)
    assert records(downloaded) == expected
    assert records(LocalFiles(FilesSource(name="web", paths=[str(tmp_path / "here")]))) == expected
    assert streamed.raw_files() == downloaded.raw_files()
    on_disk = [RawFile.of(path.root, path.folder, path.path) for path in downloaded.raw_paths()]
    assert downloaded.raw_files() == on_disk
    assert streamed.raw_paths() == []
    assert streamed.origin == f"{hub.endpoint}/datasets/HuggingFaceFW/fineweb/resolve/{pages.commit}"


@pytest.mark.parametrize("shares", [1, 2, 3, 7, 50])
def test_every_row_is_in_one_share(
    hub: StandInHub, pages: Repository, patience: Patience, monkeypatch: pytest.MonkeyPatch, shares: int
) -> None:
    size = len(pages.files["sample/10BT/000_00000.parquet"])
    monkeypatch.setattr(hub_dataset, "TASK_BYTES", -(-size // shares))
    source = HubDataset(HubSource(dataset="fineweb"), patience)
    tasks = [task for task in source.parts()[0].tasks if "000_00000" in task.name]
    assert len(tasks) == shares
    numbers = [
        int(record.id.rpartition(":")[2])
        for task in tasks
        for record in task.read(StopRequest())
        if isinstance(record, Document)
    ]
    assert numbers == list(range(1, 1_001))


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".json.gz"])
def test_lines_are_streamed_through_every_fault(
    hub: StandInHub, patience: Patience, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(remote_stream, "BLOCK_BYTES", 50_000)
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows(900))
    pack = {"gz": gzip.compress, "zst": zstandard.compress}.get(ending.rpartition(".")[2], bytes)
    hub.repositories["owner/name"] = Repository({f"data/train{ending}": pack(lines), "data/test.jsonl": b"{}\n"})
    hub.faults += [
        faults.cut_after(20_000), faults.status(429, Retry_After="0"), faults.cut_after(0), faults.status(500),
        faults.silence,
    ]  # fmt: skip
    found = records(HubDataset(HubSource(dataset="owner/name"), replace(patience, tries=8)))
    assert [record.text for record in found if isinstance(record, Document)] == [row["text"] for row in rows(900)]
    assert not hub.faults
    assert len(hub.paths("/resolve/")) <= 6  # the signed address is used again; each fault asks for a new one


def test_an_expired_address_is_asked_for_anew(hub: StandInHub, patience: Patience) -> None:
    content = noise(10 * remote_stream.BLOCK_BYTES // 4)
    hub.repositories["owner/name"] = Repository({"train.jsonl": content})
    hub.lifetime = 2
    assert stream_of(hub, patience).read() == content
    assert len(hub.paths("/resolve/")) == 2


def stream_of(hub: StandInHub, patience: Patience, whole: bool = False) -> RemoteStream:
    served = Hub(Manners(patience))
    commit = served.revision("owner/name", "main").commit
    return RemoteStream(served, "owner/name", commit, served.files("owner/name", commit)[0], whole=whole)


def test_a_long_stream_is_read_in_bounded_memory_and_its_hash_is_compared(hub: StandInHub, patience: Patience) -> None:
    content = noise(6 * remote_stream.BLOCK_BYTES + 123)
    hub.repositories["owner/name"] = Repository({"train.jsonl": content})
    stream = stream_of(hub, patience, whole=True)
    digest = hashlib.sha256()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    while piece := stream.read(1 << 18):
        digest.update(piece)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert digest.digest() == hashlib.sha256(content).digest()
    # The server is in this process too: a block is cut out there, and one is gathered here.
    assert peak < 3 * remote_stream.BLOCK_BYTES
    hub.faults += [faults.another_content]
    with pytest.raises(DamageError, match="hash differs"):
        stream_of(hub, patience, whole=True).read()


def test_any_way_of_reading_gives_the_file(
    hub: StandInHub, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_stream, "BLOCK_BYTES", 1_000)
    monkeypatch.setattr(remote_stream, "BLOCKS", 3)
    content = noise(10_500)
    hub.repositories["owner/name"] = Repository({"train.jsonl": content})
    stream, local = stream_of(hub, patience), io.BytesIO(content)

    @given(st.lists(st.tuples(st.integers(0, 11_000), st.integers(0, 4_000)), max_size=6))
    def same(places: list[tuple[int, int]]) -> None:
        for offset, count in places:
            assert stream.seek(offset) == local.seek(offset)
            assert stream.read(count) == local.read(count)
            assert stream.tell() == local.tell()

    same()


def test_small_files_that_the_hub_does_not_hash_are_hashed(hub: StandInHub, patience: Patience) -> None:
    content = b'{"text": "small"}\n'
    hub.repositories["owner/name"] = Repository({"a.jsonl": content})
    source = HubDataset(HubSource(name="x", dataset="owner/name"), patience)
    assert source.raw_files() == [RawFile("x", "a.jsonl", len(content), hashlib.sha256(content).hexdigest())]
    assert records(source) == [Document("x:a.jsonl:1", "small", "x")]


def test_a_stop_ends_a_stream(hub: StandInHub, pages: Repository, patience: Patience) -> None:
    stop = StopRequest()
    reading = HubDataset(HubSource(dataset="fineweb"), patience).parts()[0].tasks[0].read(stop)
    next(reading)
    stop.request(15)
    with pytest.raises(Interrupted):
        list(reading)


def test_a_server_without_ranges_cannot_be_streamed_from(
    hub: StandInHub, pages: Repository, patience: Patience
) -> None:
    hub.ranges = False
    content = noise(remote_stream.BLOCK_BYTES + 1)
    hub.repositories["owner/name"] = Repository({"train.jsonl": content})
    with pytest.raises(InputError, match="whole files only"):
        stream_of(hub, patience).read()


def test_a_folder_must_hold_what_the_recipe_asks_for(
    hub: StandInHub, pages: Repository, tmp_path: Path, patience: Patience
) -> None:
    here = tmp_path / "here"
    record = fetch(here, patience, Request("fineweb"))

    def source(**changes: str) -> HubDataset:
        return HubDataset(HubSource(**{"dataset": "fineweb", "folder": str(here), **changes}), patience)

    assert source(revision=record.commit).record == record
    for change, words in (
        ({"dataset": "owner/name"}, "dataset 'HuggingFaceFW/fineweb'"),
        ({"subset": "sample-100BT"}, "subset 'sample-10BT'"),
        ({"revision": "v1.4.0"}, "revision 'main'"),
    ):
        with pytest.raises(MismatchError, match=words):
            source(**change)
    (here / record.files[0].name).unlink()
    with pytest.raises(InputError, match="1 of 2 files are missing, sample/10BT/000_00000"):
        source()
    with pytest.raises(InputError, match=r"no dataset\.json"):
        source(folder=str(tmp_path))
    assert source


def test_real_web_pages_come_as_they_are_on_the_disk(hub: StandInHub, shared_data: Path, patience: Patience) -> None:
    content = (shared_data / "c4-sample" / "c4.jsonl").read_bytes()
    files = {f"en/c4-train.0000{number}-of-01024.json.gz": gzip.compress(content, mtime=0) for number in (0, 1)}
    validation = {"en/c4-validation.00000-of-00008.json.gz": gzip.compress(b'{"text": "no"}\n' * 500)}
    hub.repositories["allenai/c4"] = Repository({**files, **validation})
    found = records(HubDataset(HubSource(name="c4", dataset="c4"), patience))
    texts = [json.loads(line)["text"] for line in content.splitlines()]
    assert [record.text for record in found if isinstance(record, Document)] == texts * 2
