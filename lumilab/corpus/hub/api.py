"""The hub's endpoints that are needed here: which commit a revision is, what files it has, where one is fetched.

Sizes and hashes come from the tree endpoint: large files are kept outside git (LFS) and listed with their SHA-256;
small ones are git blobs, whose name is the SHA-1 of "blob SIZE", a zero byte and the content.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, Literal
from urllib.parse import quote, urlencode, urljoin

from lumilab.corpus.hub import settings
from lumilab.corpus.hub.connection import Answer, Cut, Refused
from lumilab.corpus.hub.persistence import Attempts, Manners, explain_refusal
from lumilab.errors import DamageError, InputError, LumiError

MAX_ANSWER_BYTES = 64 << 20


@dataclass(frozen=True)
class HubFile:
    """A file of a dataset's repository.

    Attributes:
        name: its path in the repository.
        size: bytes.
        sha256: of the content; None for small files, which the hub does not hash so.
        blob: SHA-1 of the git object: the content with a header for small files, a pointer for large ones.
    """

    name: str
    size: int
    sha256: str | None
    blob: str

    @property
    def identity(self) -> str:
        """What changes whenever the content does."""
        return self.sha256 or self.blob


@dataclass(frozen=True)
class Revision:
    """What a branch or tag stands for now.

    Attributes:
        commit: the full commit hash.
        configs: patterns of the files of each subset, by its name, as the dataset's card gives them.
        licence: as the card says; None without one.
    """

    commit: str
    configs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    licence: str | None = None


class Hub:
    """The hub, as far as one piece of work needs it.

    Args:
        manners: patience, stop request and common pauses.
        endpoint: the hub's address; that of the environment otherwise.
        kind: of the repositories it is asked about: datasets, or models, whose pages lie at the top.
    """

    def __init__(
        self, manners: Manners, endpoint: str | None = None, kind: Literal["datasets", "models"] = "datasets"
    ) -> None:
        self.manners = manners
        self.endpoint = endpoint or settings.endpoint()
        self.kind = kind

    def revision(self, dataset: str, name: str) -> Revision:
        """Looks up a branch, tag or commit.

        Raises:
            InputError: there is no such dataset or revision, or it may not be read; the nearest names are given.
        """
        url = f"{self.endpoint}/api/{self.kind}/{dataset}/revision/{quote(name, safe='')}"
        found = self._json(url, dataset, lambda refused: self._no_revision(refused, dataset, name))[0]
        card = found.get("cardData") or {}
        licence = card.get("license")
        return Revision(
            str(found["sha"]),
            _configs(card.get("configs")),
            ", ".join(licence) if isinstance(licence, list) else licence,
        )

    def files(self, dataset: str, commit: str, folder: str = "") -> list[HubFile]:
        """Every file at any depth below a folder ("" for all), by name.

        Raises:
            InputError: there is no such folder; the nearest ones are given.
        """
        return sorted(
            (
                HubFile(item["path"], item["size"], (item.get("lfs") or {}).get("oid"), item["oid"])
                for item in self._tree(dataset, commit, folder, recursive=True)
                if item["type"] == "file"
            ),
            key=lambda file: file.name,
        )

    def address(self, dataset: str, commit: str, name: str) -> str:
        """Where a file is fetched; usually redirected to storage elsewhere."""
        page = dataset if self.kind == "models" else f"{self.kind}/{dataset}"
        return f"{self.endpoint}/{page}/resolve/{commit}/{quote(name)}"

    def open(self, url: str, headers: Mapping[str, str]) -> Answer:
        """Asks once, when it is our turn.

        Raises:
            Refused, Cut: see `connection.py`.
        """
        self.manners.wait_for_turn()
        ours = url.startswith(f"{self.endpoint}/")
        try:
            answer = self.manners.connector.get(url, headers, settings.token() if ours else None)
        except Refused:
            self.manners.reached = True
            raise
        self.manners.reached = True
        return answer

    # --- inside ------------------------------------------------------------------------------------------------------

    def _tree(self, dataset: str, commit: str, folder: str, *, recursive: bool) -> Iterator[dict[str, Any]]:
        url: str | None = f"{self.endpoint}/api/{self.kind}/{dataset}/tree/{commit}"
        if folder:
            url = f"{url}/{quote(folder, safe='')}"
        url = f"{url}?{urlencode({'recursive': str(recursive).lower(), 'expand': 'false'})}"
        while url:
            items, headers = self._json(url, dataset, lambda refused: self._no_folder(refused, dataset, commit, folder))
            yield from items
            url = _next_page(headers.get("Link"), url)

    def _json(self, url: str, about: str, explain: Callable[[Refused], LumiError] | None = None) -> tuple[Any, Message]:
        attempts = Attempts(self.manners, about, url, explain or (lambda refused: explain_refusal(refused, about)))
        while True:
            try:
                with self.open(url, {"Accept": "application/json"}) as answer:
                    return json.loads(_whole(answer, about)), answer.headers
            except (Refused, Cut) as error:
                attempts.failed(error)
            except ValueError:
                raise DamageError(
                    "The hub's answer is not JSON",
                    where=url,
                    mend="check that HF_ENDPOINT is the address of a hub, and that no proxy's page is in the way.",
                ) from None

    def _no_revision(self, refused: Refused, dataset: str, name: str) -> LumiError:
        if refused.headers.get("X-Error-Code") == "RevisionNotFound":
            refs = self._perhaps(f"/api/{self.kind}/{dataset}/refs") or {}
            names = [ref["name"] for kind in ("branches", "tags") for ref in refs.get(kind) or []]
            return InputError(
                f"{dataset} has no revision {name!r}", where=refused.url, mend=f"it has {nearest(name, names)}."
            )
        explained = explain_refusal(refused, dataset)
        missing = refused.headers.get("X-Error-Code") == "RepoNotFound" or refused.status == 404
        if missing:
            query = urlencode({"search": dataset.rpartition("/")[2], "limit": 20})
            names = [item["id"] for item in self._perhaps(f"/api/{self.kind}?{query}") or []]
            if names:
                explained.mend = f"there is {nearest(dataset, names)}; {explained.mend}"
        return explained

    def _no_folder(self, refused: Refused, dataset: str, commit: str, folder: str) -> LumiError:
        if refused.status != 404 or not folder:
            return explain_refusal(refused, dataset)
        above = folder.rpartition("/")[0]
        names = [item["path"] for item in self._tree(dataset, commit, above, recursive=False)]
        return InputError(
            f"{dataset} has no folder {folder!r}", where=refused.url, mend=f"there is {nearest(folder, names)}."
        )

    def _perhaps(self, path: str) -> Any:
        """An answer that would only make an error message better: nothing is tried twice for it."""
        try:
            with self.open(self.endpoint + path, {"Accept": "application/json"}) as answer:
                return json.loads(_whole(answer, path))
        except (Refused, Cut, ValueError, DamageError):
            return None


def nearest(name: str, names: list[str], count: int = 5) -> str:
    """The most similar names, for an error message."""
    folded = {each.lower(): each for each in names}
    close = [folded[each] for each in difflib.get_close_matches(name.lower(), list(folded), count, 0.4)]
    shown = close or sorted(names)[:count]
    return ", ".join(shown) + (", ..." if len(names) > len(shown) else "") if shown else "nothing"


def _whole(answer: Answer, about: str) -> bytes:
    body = bytearray()
    for piece in answer.pieces():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise DamageError("The hub's answer does not end", where=about, mend="check HF_ENDPOINT.")
    return bytes(body)


def _next_page(link: str | None, url: str) -> str | None:
    """The address behind rel="next" in a Link header (RFC 8288)."""
    for target in re.finditer(r"<([^>]*)>([^<]*)", link or ""):
        if re.search(r"""rel\s*=\s*"?next"?""", target[2]):
            return str(urljoin(url, target[1]))
    return None


def _configs(section: Any) -> dict[str, tuple[str, ...]]:
    """Subsets from a dataset card: their training split's patterns, or all where no split is called so."""
    configs = {}
    for config in section if isinstance(section, list) else []:
        name, data = config.get("config_name"), config.get("data_files")
        entries: list[Any] = data if isinstance(data, list) else [data]
        splits: dict[str, list[Any]] = {}
        for entry in entries:
            split, path = (entry.get("split"), entry.get("path")) if isinstance(entry, dict) else ("train", entry)
            splits.setdefault(str(split), []).extend(path if isinstance(path, list) else [path])
        chosen = splits.get("train") or [path for paths in splits.values() for path in paths]
        if isinstance(name, str) and chosen and all(isinstance(path, str) for path in chosen):
            configs[name] = tuple(chosen)
    return configs
