"""`lumi sft`: what it shows before anything is trained."""

from __future__ import annotations

from pathlib import Path

from tiny_pipeline import digests, lumi


def test_show_mask_prints_examples_and_does_not_fine_tune(copy: Path) -> None:
    before = digests(copy / "run")
    done = lumi("sft", copy / "recipe.yaml", "--show-mask", "--examples", "2", "--out", "run", cwd=copy, check=0)
    assert done.stdout.count("⟦") == done.stdout.count("⟧") == 2
    assert done.stdout.count("<|im_end|>⟧") == 2
    assert "example 1 of" in done.stdout and "of them trained" in done.stdout
    assert digests(copy / "run") == before
