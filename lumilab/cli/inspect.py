"""`lumi inspect PATH`: a card of an artifact or a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lumilab.work.progress import format_bytes


def inspect(
    path: Annotated[Path, typer.Argument(help="An artifact's folder, or a run's.", metavar="PATH")],
) -> None:
    """Show what an artifact is, what it was made from and what it holds."""
    from lumilab.artifact import Artifact, artifacts_below

    console = Console(highlight=False)
    folders = artifacts_below(path)
    if folders == [path]:
        _card(Artifact.open(path), console)
        return
    table = Table("kind", "digest", "size", "folder", box=None, pad_edge=False)
    for folder in folders:
        artifact = Artifact.open(folder)
        size = sum(record.size for record in artifact.manifest.files.values())
        row = (artifact.manifest.kind, artifact.digest[:12], format_bytes(size), str(folder.relative_to(path)))
        table.add_row(*(Text(cell) for cell in row))
    console.print(table, soft_wrap=True)


def _card(artifact: Any, console: Console) -> None:
    manifest = artifact.manifest
    console.print(Text.assemble((manifest.kind, "bold"), f"  {artifact.digest}"))
    console.print(Text(str(artifact.path), style="dim"))
    for title, values in (
        ("statistics", manifest.statistics),
        ("configuration", manifest.config),
        ("made from", {name: f"{record.digest[:12]}  {record.path}" for name, record in manifest.inputs.items()}),
        ("files", {name: format_bytes(record.size) for name, record in manifest.files.items()}),
        ("environment", manifest.environment),
    ):
        if values:
            console.print(Text(f"\n{title}", style="bold"))
            for key, value in _flat(values):
                console.print(Text.assemble((f"  {key:<36} ", "cyan"), value), soft_wrap=True)


def _flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [row for key, inner in value.items() for row in _flat(inner, f"{path}.{key}" if path else str(key))]
    if isinstance(value, list) and value and all(isinstance(item, dict) and "source" in item for item in value):
        named = {item["source"]: {key: inner for key, inner in item.items() if key != "source"} for item in value}
        return _flat(named, path)
    return [(path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))]
