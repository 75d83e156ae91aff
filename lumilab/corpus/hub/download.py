"""A whole dataset from the hub, several files at a time, resumable at any moment.

The files of the chosen commit are listed first and written into `dataset.json`; threads then fetch one file each,
largest first, and the thread that called shows progress. What is there already is kept if it is the same content.
"""

from __future__ import annotations

import queue
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from lumilab.corpus.hub import presets
from lumilab.corpus.hub.api import Hub, HubFile
from lumilab.corpus.hub.persistence import Manners, Patience
from lumilab.corpus.hub.record import FILE_NAME, DatasetRecord, is_complete
from lumilab.corpus.hub.transfer import Transfer, bytes_there, checksum_of
from lumilab.errors import DamageError, InputError, ResourceError
from lumilab.work.context import WorkContext
from lumilab.work.lock import exclusive
from lumilab.work.progress import Task, format_bytes
from lumilab.work.stopping import StopRequest

TRIAL_FILES = 2
SPARE_BYTES = 64 << 20  # left free on the disk
PARTING_SECONDS = 2.0  # that threads get to end after one of them has failed


@dataclass(frozen=True)
class Request:
    """What to download.

    Attributes:
        dataset: name of a preset, or OWNER/NAME.
        subset: None for the usual one.
        revision: branch, tag or commit.
        trial: only a few files.
        workers: files at a time.
    """

    dataset: str
    subset: str | None = None
    revision: str = "main"
    trial: bool = False
    workers: int = 8

    def folder(self, root: Path) -> Path:
        """Where it goes below a folder for downloads: NAME/SUBSET, with `-test` behind for a trial."""
        _, preset = presets.find(self.dataset)
        subset = self.subset or (preset.subset if preset else "default")
        name = next((name for name, each in presets.PRESETS.items() if each is preset), self.dataset)
        return root / name / (subset.replace("/", "-") + ("-test" if self.trial else ""))


def list_files(hub: Hub, request: Request) -> DatasetRecord:
    """Looks up the commit and the files; nothing is fetched.

    Raises:
        ConfigError: no such dataset or subset.
        InputError: the hub has no such dataset, revision or files.
    """
    repository, preset = presets.find(request.dataset)
    revision = hub.revision(repository, request.revision)
    subset, wanted = presets.patterns(preset, request.subset, revision)
    if request.trial:
        wanted = presets.trial_patterns(preset, subset) or wanted
    listed = hub.files(repository, revision.commit, presets.common_folder(wanted))
    files = presets.choose(listed, wanted, repository)
    if request.trial:
        # The smallest ones, because a trial is about the way and not about the data.
        files = sorted(sorted(files, key=lambda file: file.size)[:TRIAL_FILES], key=lambda file: file.name)
    text_field = preset.text_field if preset else "text"
    licence = preset.licence if preset else revision.licence
    return DatasetRecord(
        repository, request.revision, revision.commit, subset, request.trial, text_field, licence, files
    )


def download(request: Request, folder: Path, context: WorkContext, patience: Patience | None = None) -> DatasetRecord:
    """Downloads a dataset into `folder`, or what is missing of it.

    Raises:
        ConfigError: no such dataset or subset.
        InputError: the hub has no such dataset, or it may not be read.
        DamageError: what the hub sends is not what it lists.
        ResourceError: the hub cannot be reached, or the disk is too small.
        Interrupted: a stop was asked for; the next run goes on from there.
    """
    hub = Hub(Manners(patience, context.stop, context.report.say))
    with exclusive(folder, context):
        record = list_files(hub, request)
        _check_folder(folder, record)
        hashes, missing = _take_stock(folder, record, context)
        record.with_hashes(hashes).write(folder)
        if missing:
            _check_space(folder, missing)
            context.report.say(
                f"{record.repository} {record.subset} at {record.commit[:12]}: {len(missing)} of {len(record.files)} "
                f"files to fetch, {format_bytes(sum(file.size for file in missing))}."
            )
            hashes |= _Crew(record, folder, context, patience).fetch(missing, request.workers)
        record = record.with_hashes(hashes)
        record.write(folder)
    return record


def _check_folder(folder: Path, record: DatasetRecord) -> None:
    """A folder holds one dataset."""
    if (folder / FILE_NAME).exists():
        there = DatasetRecord.read(folder)
        if (there.repository, there.subset) != (record.repository, record.subset):
            raise InputError(
                f"The folder holds another dataset: {there.repository} {there.subset}",
                where=str(folder),
                mend="choose another --out.",
            )
    outside = [file.name for file in record.files if ".." in Path(file.name).parts or Path(file.name).is_absolute()]
    if outside:
        raise DamageError(f"The hub lists a file outside of its repository: {outside[0]}", mend="check HF_ENDPOINT.")


def _take_stock(
    folder: Path, record: DatasetRecord, context: WorkContext
) -> tuple[dict[str, str], list[HubFile]]:  # fmt: skip
    """SHA-256 of the small files that are there, and what is missing. A file of other content is removed."""
    known = {file.name: file for file in DatasetRecord.read(folder).files} if (folder / FILE_NAME).exists() else {}
    hashes: dict[str, str] = {}
    missing = []
    for file in record.files:
        before = known.get(file.name)
        path = folder / file.name
        if is_complete(folder, file) and before is not None and before.blob == file.blob and before.sha256:
            hashes[file.name] = before.sha256
        elif path.exists():
            checksum = checksum_of(path, file, context.stop.check)
            if checksum.matches():
                hashes[file.name] = checksum.sha256
            else:
                context.report.say(f"{file.name} is not what the hub has now; it is fetched anew.")
                path.unlink()
                missing.append(file)
        else:
            missing.append(file)
    return hashes, missing


def _check_space(folder: Path, missing: Sequence[HubFile]) -> None:
    needed = sum(file.size - bytes_there(folder, file) for file in missing)
    free = shutil.disk_usage(folder).free
    if needed + SPARE_BYTES > free:
        raise ResourceError(
            f"The disk has {format_bytes(free)} free and the download needs {format_bytes(needed)}",
            where=str(folder),
            mend="free some space, choose another --out, or take a smaller --subset.",
        )


@dataclass
class _Crew:
    """The threads that fetch, and what they tell the one that shows progress."""

    record: DatasetRecord
    folder: Path
    context: WorkContext
    patience: Patience | None
    _news: queue.SimpleQueue[Callable[[], None]] = field(default_factory=queue.SimpleQueue)
    _stop: StopRequest = field(default_factory=StopRequest)
    _hashes: dict[str, str] = field(default_factory=dict)
    _failures: list[BaseException] = field(default_factory=list)
    _live: dict[str, tuple[AbstractContextManager[Task], Task]] = field(default_factory=dict)
    _total: Task = field(init=False)

    def fetch(self, files: Sequence[HubFile], workers: int) -> dict[str, str]:
        """Fetches all files; returns their SHA-256 by name. The first failure stops the others."""
        # Manners are shared, so that all of them keep a pause that one was asked for. Lines go through the queue.
        manners = Manners(self.patience, self._stop, lambda line: self._news.put(lambda: self.context.report.say(line)))
        waiting = deque(sorted(files, key=lambda file: (-file.size, file.name)))
        # Daemons: a thread that waits for a silent server must not keep the process alive.
        threads = [
            threading.Thread(target=self._work, args=(Hub(manners), waiting), daemon=True)
            for _ in range(min(workers, len(files)))
        ]
        try:
            with self.context.report.task("Downloading", sum(file.size for file in files), "bytes") as total:
                self._total = total
                total.start_at(sum(bytes_there(self.folder, file) for file in files))
                for thread in threads:
                    thread.start()
                try:
                    self._show_until_done(threads)
                finally:
                    for manager, _ in self._live.values():
                        manager.__exit__(None, None, None)
        finally:
            self._stop.request(self.context.stop.signal_number or 0)
        if self._failures:
            raise self._failures[0]
        return self._hashes

    def _show_until_done(self, threads: Sequence[threading.Thread]) -> None:
        end = None
        while any(thread.is_alive() for thread in threads) or not self._news.empty():
            if self._failures:
                self._stop.request(0)
                end = end or time.monotonic() + PARTING_SECONDS
                if time.monotonic() > end:
                    return  # one of them waits for a silent server
            else:
                self.context.stop.check()
            try:
                self._news.get(timeout=0.1)()
            except queue.Empty:
                continue

    # --- in the threads ----------------------------------------------------------------------------------------------

    def _work(self, hub: Hub, waiting: deque[HubFile]) -> None:
        while not self._stop.requested:
            try:
                file = waiting.popleft()
            except IndexError:
                return
            try:
                # Asked here, for whoever shows it may come to it when the file is complete and its part gone.
                self._tell(self._begin, file, bytes_there(self.folder, file))
                transfer = Transfer(
                    hub, self.record.repository, self.record.commit, file, self.folder,
                    lambda count, file=file: self._tell(self._advance, file, count),  # type: ignore[misc]
                )  # fmt: skip
                self._hashes[file.name] = transfer.run()
                self._tell(self._end, file)
            except BaseException as error:
                self._failures.append(error)
                return

    def _tell(self, function: Callable[..., None], *values: object) -> None:
        self._news.put(lambda: function(*values))

    # --- in the thread that shows ------------------------------------------------------------------------------------

    def _begin(self, file: HubFile, there: int) -> None:
        manager = self.context.report.task(f"  {file.name}", file.size, "bytes")
        task = manager.__enter__()
        task.start_at(there)
        self._live[file.name] = manager, task

    def _advance(self, file: HubFile, count: int) -> None:
        self._live[file.name][1].advance(count)
        self._total.advance(count)

    def _end(self, file: HubFile) -> None:
        self._live.pop(file.name)[0].__exit__(None, None, None)
