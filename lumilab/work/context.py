"""What every stage is given besides its configuration and inputs."""

from __future__ import annotations

from dataclasses import dataclass, field

from lumilab.work.progress import Reporter
from lumilab.work.stopping import StopRequest


@dataclass(frozen=True)
class WorkContext:
    """Where to report progress, and whether to stop: `context.stop.check()` at every safe point."""

    report: Reporter = field(default_factory=Reporter)
    stop: StopRequest = field(default_factory=StopRequest)
