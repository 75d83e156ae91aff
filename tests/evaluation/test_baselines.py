"""Baselines against the command-line compressors and counts by hand."""

import gzip
import lzma
import math
import shutil
import subprocess

import numpy as np
import pytest

from lumilab.evaluation import baselines

TEXT = b"".join(f"line {number}: the quick brown fox\n".encode() for number in range(20_000))


def test_gzip_is_what_gzip_gives():
    seen = []
    bits = baselines.compressed_bits_per_byte([TEXT], baselines.gzip_9(), seen.append)
    assert bits == 8 * len(gzip.compress(TEXT, 9)) / len(TEXT)
    assert sum(seen) == len(TEXT)
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("compressor", "preset"), [(baselines.xz_9, 9), (baselines.xz_9_extreme, 9 | lzma.PRESET_EXTREME)]
)
def test_xz_is_what_lzma_gives(compressor, preset):
    bits = baselines.compressed_bits_per_byte([TEXT], compressor(), lambda count: None)
    assert bits == 8 * len(lzma.compress(TEXT, preset=preset)) / len(TEXT)


@pytest.mark.skipif(shutil.which("xz") is None, reason="the xz command is not installed")
def test_xz_is_what_the_command_gives():
    output = subprocess.run(["xz", "-9", "--stdout"], input=TEXT, stdout=subprocess.PIPE, check=True).stdout
    bits = baselines.compressed_bits_per_byte([TEXT], baselines.xz_9(), lambda count: None)
    assert bits == pytest.approx(8 * len(output) / len(TEXT), rel=0.01)


def test_how_the_text_is_cut_makes_no_difference():
    parts = [TEXT[start : start + 1000] for start in range(0, len(TEXT), 1000)]
    whole = baselines.compressed_bits_per_byte([TEXT], baselines.gzip_9(), lambda count: None)
    assert baselines.compressed_bits_per_byte(parts, baselines.gzip_9(), lambda count: None) == whole


def test_unigram_by_hand():
    logs = baselines.unigram_log_probabilities(np.array([3, 0, 1]))
    assert logs.tolist() == pytest.approx([math.log(4 / 7), math.log(1 / 7), math.log(2 / 7)])
    assert np.exp(logs).sum() == pytest.approx(1)
