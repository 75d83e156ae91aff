"""Where the hub is and who asks, from the environment variables that all its clients share."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from lumilab.errors import ConfigError

HUB = "https://huggingface.co"


def endpoint() -> str:
    """The hub's address: `HF_ENDPOINT`, or the public one.

    Raises:
        ConfigError: the variable holds no address.
    """
    address = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"HF_ENDPOINT is {address!r}, which is no address",
            where="environment",
            mend=f"set it to an address such as {HUB}, or unset it.",
        )
    return address


def token() -> str | None:
    """The access token: `HF_TOKEN`, or the file that the hub's own login writes; None without one."""
    said = os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN")
    if said and said.strip():
        return said.strip()
    try:
        return token_path().read_text().strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def token_path() -> Path:
    """Where the hub's own login keeps the token."""
    named = os.environ.get("HF_TOKEN_PATH")
    if named:
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME")
    return Path(home or f"{cache}/huggingface").expanduser() / "token"
