"""The count of bytes and operations by which docs/real-time-cogvla.md says when token pruning pays."""

from pathlib import Path

from benchmarks.lfp_balance import config_of, layers_of, report

WIDTH, INNER = 4096, 11008
DOCS = Path(__file__).parents[3] / "docs" / "real-time-cogvla.md"


def test_weights_and_tokens_are_those_of_the_published_sizes():
    layers = layers_of(config_of(2), prompt_tokens=30)
    assert {layer.weights for layer in layers} == {4 * WIDTH**2 + 3 * WIDTH * INNER + 2 * WIDTH}
    film = 2 * (2 * WIDTH * WIDTH // 2 + WIDTH // 2 + WIDTH)
    assert sorted({layer.router_weights for layer in layers}) == [0, film + 2 * WIDTH + 2]
    assert layers[0].tokens == 128 + 30 + 1 + 56 + 1
    assert layers[-1].tokens == layers[0].tokens - 128 + int(128 * 0.15)


def test_the_table_of_the_docs_is_what_the_script_prints():
    rows = [line for line in report(4.3e12, 989e12, 30) if line.startswith(("| 1 |", "| 2 |", "| 8 |"))]
    text = DOCS.read_text(encoding="utf-8")
    assert len(rows) == 6 and all(row in text for row in rows)
