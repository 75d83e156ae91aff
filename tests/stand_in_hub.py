"""A stand-in for the dataset side of the Hugging Face hub, on this machine, with room for faults (`hub_faults.py`).

It answers what clients ask of the real one: revision, tree with pages, paths-info, refs, search, and resolve with HEAD,
GET and ranges, where large files are redirected to signed addresses of another server (its storage). That it is
honest is tested with the hub's own client in `test_stand_in_hub.py`.

Run as a program it serves one small dataset until it is killed: `python stand_in_hub.py FOLDER`.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

LARGE = 1_000  # from this size on, a file is in the storage (LFS)
PAGE = 3  # entries of a tree in one answer


@dataclass
class Repository:
    """A dataset: its files, and what may go wrong."""

    files: dict[str, bytes]
    card: dict[str, Any] = field(default_factory=dict)
    gated: bool = False

    @property
    def commit(self) -> str:
        digest = hashlib.sha1(usedforsecurity=False)
        for name, content in sorted(self.files.items()):
            digest.update(name.encode() + b"\0")
            digest.update(content)
        return digest.hexdigest()


# A fault is called with the handler and the content about to be sent, and returns whether it has answered itself.
Fault = Callable[["Handler", bytes], bool]


class StandInHub:
    """The state that its two servers share.

    Attributes:
        repositories: by OWNER/NAME.
        faults: for the next requests of a file's content: each is used once, or always with `lasting`.
        sent: bytes of content sent, by file.
        seen: every request as (method, path, headers).
        renamed: new names of repositories, by the old ones.
        lifetime: requests that one signed address is good for; None for any number.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.faults: list[Fault] = []
        self.lasting: Fault | None = None
        self.sent: Counter[str] = Counter()
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.renamed: dict[str, str] = {}
        self.lifetime: int | None = None
        self.token: str | None = None
        self.ranges = True
        self.lock = threading.Lock()
        self._signed: dict[str, int] = {}
        self.hub = _serve(self, Handler)
        self.storage = _serve(self, StorageHandler)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.hub.server_port}"

    def sign(self, repository: str, name: str) -> str:
        """A new address of a file in the storage."""
        with self.lock:
            key = f"{len(self._signed)}"
            self._signed[key] = 0
        return f"http://127.0.0.1:{self.storage.server_port}/{repository}/{quote(name)}?signature={key}"

    def valid(self, key: str) -> bool:
        """Counts a use of a signed address."""
        with self.lock:
            if key not in self._signed:
                return False
            self._signed[key] += 1
            return self.lifetime is None or self._signed[key] <= self.lifetime

    def paths(self, part: str) -> list[str]:
        """The paths asked for so far that contain a part."""
        return [path for _, path, _ in self.seen if part in path]

    def close(self) -> None:
        for server in (self.hub, self.storage):
            server.shutdown()
            server.server_close()


@contextmanager
def stand_in_hub(**repositories: Repository) -> Iterator[StandInHub]:
    """Runs one for the length of the block; names of repositories are given as owner__name."""
    hub = StandInHub()
    hub.repositories = {name.replace("__", "/"): repository for name, repository in repositories.items()}
    try:
        yield hub
    finally:
        hub.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients leave in the middle here, and that is meant; anything else is shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _serve(hub: StandInHub, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    server = _Server(("127.0.0.1", 0), handler)
    server.state = hub  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


def environment(endpoint: str, home: Path) -> dict[str, str]:
    """Variables that point clients to this hub, past any proxy, and keep them out of the person's own home."""
    return {"HF_ENDPOINT": endpoint, "HF_HOME": str(home / "hf"), "NO_PROXY": "*", "no_proxy": "*"}


def noise(size: int, seed: int = 0) -> bytes:
    """Content that nothing compresses."""
    return random.Random(seed).randbytes(size)


@lru_cache(16)
def storage_tag(content: bytes) -> str:
    """The ETag of the storage, which is another than the hub's."""
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


def blob_id(content: bytes) -> str:
    """Git's name of a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def entry(name: str, content: bytes) -> dict[str, Any]:
    """A file as the tree endpoint lists it."""
    if len(content) < LARGE:
        return {"type": "file", "path": name, "size": len(content), "oid": blob_id(content)}
    sha256 = hashlib.sha256(content).hexdigest()
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (sha256.encode(), len(content))
    lfs = {"oid": sha256, "size": len(content), "pointerSize": len(pointer)}
    return {"type": "file", "path": name, "size": len(content), "oid": blob_id(pointer), "lfs": lfs}


class Handler(BaseHTTPRequestHandler):
    """The hub."""

    protocol_version = "HTTP/1.1"

    @property
    def state(self) -> StandInHub:
        return self.server.state  # type: ignore[attr-defined, no-any-return]

    def log_message(self, format: str, *values: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.state.seen.append((self.command, self.path, dict(self.headers)))
        path = urlsplit(self.path).path
        if old := next((name for name in self.state.renamed if f"datasets/{name}/" in path), None):
            # The real hub also answers with an address without the host.
            self.answer(307, b"", {"Location": self.path.replace(old, self.state.renamed[old], 1)})
        elif match := re.fullmatch(r"(?:/datasets)?/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(match[1], unquote(match[2]), unquote(match[3]))
        elif match := re.fullmatch(
            r"/api/(?:datasets|models)/([^/]+/[^/]+?)(?:/(revision|tree|refs)(?:/([^/]+))?(?:/(.+))?)?", path
        ):
            self._api(match[1], match[2] or "revision", unquote(match[3] or "main"), unquote(match[4] or ""))
        elif path in ("/api/datasets", "/api/models"):
            word = parse_qs(urlsplit(self.path).query).get("search", [""])[0].lower()
            names = [name for name in self.state.repositories if word[:4] in name.lower()]
            self.json([{"id": name} for name in names])
        else:
            self.refuse(404)

    def do_POST(self) -> None:
        self.state.seen.append((self.command, self.path, dict(self.headers)))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        match = re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/paths-info/([^/]+)", urlsplit(self.path).path)
        repository = self._readable(match[1]) if match else None
        if match is None or repository is None:
            return
        form = json.loads(body) if "json" in self.headers["Content-Type"] else parse_qs(body.decode())
        self.json([entry(name, repository.files[name]) for name in form["paths"] if name in repository.files])

    def _readable(self, name: str, files: bool = False) -> Repository | None:
        """The repository, unless the answer is a refusal."""
        repository = self.state.repositories.get(name)
        token = self.headers.get("Authorization")
        if repository is None:
            # The hub does not tell strangers whether something exists.
            self.refuse(404 if token else 401, "RepoNotFound", "Repository not found")
        elif repository.gated and files and token != f"Bearer {self.state.token}":
            self.refuse(403 if token else 401, "GatedRepo", "Access to this dataset is restricted.")
        else:
            return repository
        return None

    def _api(self, name: str, kind: str, revision: str, folder: str) -> None:
        repository = self._readable(name)
        if repository is None:
            return
        if revision not in ("main", repository.commit):
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif kind == "refs":
            self.json({"branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": repository.commit}],
                       "converts": [], "tags": []})  # fmt: skip
        elif kind == "revision":
            self.json({"id": name, "sha": repository.commit, "cardData": repository.card, "private": False, "tags": [],
                       "downloads": 0, "siblings": [{"rfilename": each} for each in repository.files]})  # fmt: skip
        else:
            self._tree(repository, folder)

    def _tree(self, repository: Repository, folder: str) -> None:
        query = parse_qs(urlsplit(self.path).query)
        recursive = query.get("recursive", ["false"])[0].lower() in ("true", "1")
        start = f"{folder}/" if folder else ""
        below = sorted(name for name in repository.files if name.startswith(start))
        if folder and not below:
            self.refuse(404, "EntryNotFound", f"{folder} does not exist")
            return
        folders = sorted({f"{start}{name.removeprefix(start).partition('/')[0]}" for name in below} - set(below))
        deep = sorted({name.rpartition("/")[0] for name in below} - {folder, ""}) if recursive else folders
        entries = [{"type": "directory", "path": each, "size": 0, "oid": blob_id(each.encode())} for each in deep]
        shown = below if recursive else [name for name in below if "/" not in name.removeprefix(start)]
        entries += [entry(name, repository.files[name]) for name in shown]
        first = int(query.get("cursor", ["0"])[0])
        headers = {}
        if first + PAGE < len(entries):
            rest = re.sub(r"&cursor=\d+", "", self.path)
            headers["Link"] = (
                f'<{self.state.endpoint}{rest}{"" if "?" in rest else "?"}&cursor={first + PAGE}>; rel="next"'
            )
        self.json(entries[first : first + PAGE], headers)

    def _resolve(self, name: str, revision: str, file: str) -> None:
        repository = self._readable(name, files=True)
        if repository is None:
            return
        if revision not in ("main", repository.commit):
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif file not in repository.files:
            self.refuse(404, "EntryNotFound", "Entry not found")
        else:
            content = repository.files[file]
            commit = {"X-Repo-Commit": repository.commit}
            if len(content) < LARGE:
                self.content(file, content, f'"{blob_id(content)}"', commit)
                return
            linked = {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"'}
            self.answer(302, b"", {"Location": self.state.sign(name, file), **linked, **commit})

    # --- answers -----------------------------------------------------------------------------------------------------

    def content(self, name: str, content: bytes, etag: str, headers: dict[str, str]) -> None:
        """Sends a file, or the range that is asked for, unless a fault comes first."""
        self.sending = name
        first, last, status = 0, len(content) - 1, 200
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked and self.state.ranges and self.headers.get("If-Range") in (None, etag):
            first, last = int(asked[1]), min(int(asked[2] or last), last)
            if first > last:
                self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            status = 206
            headers = {**headers, "Content-Range": f"bytes {first}-{last}/{len(content)}"}
        self.pending = status, {**headers, "ETag": etag, "Accept-Ranges": "bytes"}
        body = content[first : last + 1]
        if self.command == "GET":
            fault = self.state.lasting or (self.state.faults.pop(0) if self.state.faults else None)
            if fault is not None and fault(self, body):
                return
        self.begin(len(body))
        self.send(body)

    def begin(self, length: int) -> None:
        """Sends the headers of the content that was asked for."""
        status, headers = self.pending
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def send(self, data: bytes) -> None:
        """Sends content and counts it."""
        if self.command == "HEAD":
            return
        for start in range(0, len(data), 1 << 16):
            piece = data[start : start + (1 << 16)]
            self.wfile.write(piece)
            with self.state.lock:
                self.state.sent[self.sending] += len(piece)

    def json(self, value: Any, headers: dict[str, str] | None = None) -> None:
        self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def refuse(self, status: int, code: str = "", message: str = "") -> None:
        named = {"X-Error-Code": code, "X-Error-Message": message} if code else {}
        self.answer(status, b'{"error": "refused"}', named)

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def hang_up(self) -> None:
        """Ends the connection."""
        self.close_connection = True
        self.wfile.flush()


class StorageHandler(Handler):
    """The storage behind the hub."""

    def do_GET(self) -> None:
        self.state.seen.append((self.command, self.path, dict(self.headers)))
        parts = urlsplit(self.path)
        owner, name, file = unquote(parts.path).lstrip("/").split("/", 2)
        if not self.state.valid(parse_qs(parts.query)["signature"][0]):
            self.refuse(403)
            return
        content = self.state.repositories[f"{owner}/{name}"].files[file]
        self.content(file, content, storage_tag(content), {})


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    served = StandInHub()
    served.repositories["owner/name"] = Repository(
        {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    )
    sys.stdout.write(served.endpoint + "\n")
    sys.stdout.flush()
    threading.Event().wait()
