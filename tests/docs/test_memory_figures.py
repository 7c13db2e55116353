"""The parameters and bytes of docs/memory-and-time.md are those of the models at their published sizes."""

import re
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks.published_sizes import alpamayo, cogvla, llava3d

PAGE = (Path(__file__).parents[2] / "docs" / "memory-and-time.md").read_text()
ROWS = {
    "CogVLA 7B, L1 head": partial(cogvla, False),
    "LLaVA-3D 7B, geometry, expert half as wide": partial(llava3d, False),
    "Alpamayo-R1 10B": partial(alpamayo, False),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_table_is_counted(row):
    numbers = re.search(rf"^\| {re.escape(row)} \| ([\d.]+) G \| ([\d.]+) GB \| ([\d.]+) GB \|", PAGE, re.MULTILINE)
    with torch.device("meta"):
        count = ROWS[row]().num_parameters()
    assert [float(number) for number in numbers.groups()] == pytest.approx(
        [round(count / 1e9, 2), round(count * 4 / 1e9, 1), round(count * 2 / 1e9, 1)], abs=1e-6
    )
