"""A process that does phases, for tests that kill it and others like it.

Run as `python builder.py SETTINGS`, a JSON object: `folder`, `diary`, `workers`, `phases`, `count`, `seconds`, and for
a rank of several `rank` and `world_size`; `function` names one of tiny_phases. Its last line is all the answers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import tiny_phases

from lumilab.work.context import WorkContext
from lumilab.work.executors import workers_for
from lumilab.work.failures import failures_explained
from lumilab.work.progress import Reporter
from lumilab.work.ranks import Rank
from lumilab.work.stopping import stopping_on_signals


def main(text: str) -> None:
    settings = {"phases": 1, "seconds": 0.0, "diary": None, "workers": 1, "function": "square"} | json.loads(text)
    rank = Rank(settings["rank"], settings["world_size"]) if "rank" in settings else None
    diary = settings["diary"] and Path(settings["diary"])
    with failures_explained(), stopping_on_signals() as stop:
        workers = workers_for(
            "ranks" if rank else "local", Path(settings["folder"]), WorkContext(Reporter(), stop), settings["workers"],
            rank=rank,
        )  # fmt: skip
        answers = []
        for number in range(settings["phases"]):
            orders = tiny_phases.orders(settings["count"], settings["seconds"], diary)
            work = tiny_phases.phase(orders, getattr(tiny_phases, settings["function"]), f"phase-{number}")
            answers.append([done.answer for done in workers.run(work)])
        publishes = workers.leave()
    sys.stdout.write(json.dumps({"answers": answers, "publishes": publishes}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
