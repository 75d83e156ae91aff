"""Runs every benchmark in this folder and ends with one table of their claims: `python bench [--quick]`.

Each script measures ours and the peer on the same work and prints one JSON line per claim:
`{"claim", "ours", "peer", "unit", "ratio", "target"}`. `target` is the ratio aimed at, or null where the claim has
none. The exit code is 1 when a script failed; a missed target is shown, not punished, because machines differ.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

COLUMNS = ("claim", "ours", "peer", "unit", "ratio", "target")


def main(arguments: list[str]) -> int:
    """Runs the scripts one after the other, so that none slows another, and prints the table."""
    scripts = sorted(path for path in Path(__file__).parent.glob("*.py") if not path.name.startswith("_"))
    if not scripts:
        print("There are no benchmarks yet.")
        return 0
    claims: list[dict[str, Any]] = []
    failed: list[str] = []
    for script in scripts:
        print(f"--- {script.name}", flush=True)
        with subprocess.Popen([sys.executable, script, *arguments], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
                claims += _claim(line)
        if process.returncode != 0:
            failed.append(script.name)
    print()
    print(*_table(claims), sep="\n")
    if failed:
        print(f"These failed: {', '.join(failed)}")
    return 1 if failed else 0


def _claim(line: str) -> list[dict[str, Any]]:
    if not line.startswith("{"):
        return []
    try:
        value = json.loads(line)
    except ValueError:
        return []
    return [value] if isinstance(value, dict) and "claim" in value else []


def _table(claims: list[dict[str, Any]]) -> list[str]:
    rows = [COLUMNS, *(tuple(_shown(claim.get(column)) for column in COLUMNS) for claim in claims)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(COLUMNS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
