"""How a server is run: where it listens, what it lets in, and how long it waits."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal

from lumilab.recipe.section import Section, runtime

MEBIBYTE = 1 << 20

Device = Literal["auto", "cpu", "cuda", "mps"]
Quantization = Literal["none", "bf16", "int8", "int4"]


class ServingConfig(Section):
    """The server of `lumi serve`."""

    host: str = runtime("127.0.0.1", "address to listen on; the default is heard on this machine alone")
    port: int = runtime(8000, "port to listen on; 0 for any that is free", ge=0, le=65535)
    device: Device = runtime("auto", "where the models run")
    quantize: Quantization = runtime(
        "none", "how the models' weights are kept in memory; int8 and int4 cost some quality"
    )
    slots: int = runtime(8, "requests that generate at the same time, for each model", ge=1)
    queue: int = runtime(64, "requests that may wait for a slot; those beyond are told to come again", ge=0)
    max_body: float = runtime(8.0, "largest body of a request in MiB", gt=0)
    body_timeout: float = runtime(60.0, "seconds that a client may be silent while it sends its request", gt=0)
    max_choices: int = runtime(32, "most texts that one request may ask for", ge=1)
    request_timeout: float = runtime(600.0, "seconds after which an answer is given up", gt=0)
    health_timeout: float = runtime(10.0, "seconds within which a healthy engine makes a token", gt=0)
    drain_timeout: float = runtime(30.0, "seconds that running answers are given when the server is stopped", ge=0)
    cors_origins: tuple[str, ...] = runtime((), "web sites whose pages may use the server, such as https://example.org")
    log_prompts: bool = runtime(False, "write what is asked into the access log, too")

    @property
    def max_body_bytes(self) -> int:
        """`max_body` in bytes."""
        return int(self.max_body * MEBIBYTE)

    @property
    def loopback(self) -> bool:
        """Whether it can be reached from this machine alone."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False
