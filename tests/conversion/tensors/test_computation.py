"""A tensor is computed in blocks of rows where its steps allow that, and what they are together is the tensor."""

from types import SimpleNamespace

import pytest
import torch

from vlahub.conversion.tensors import computation
from vlahub.conversion.tensors.computation import Computation, blocks_of
from vlahub.conversion.tensors.initialised import InitialisedTensor
from vlahub.conversion.tensors.plan import PlannedTensor, StoredPart
from vlahub.conversion.tensors.safetensors_stream import ALL, TensorInfo


def planned(shape, dtype=torch.float32, steps=()):
    source = InitialisedTensor("a", shape, seed=0, deviation=1.0)
    return PlannedTensor("a", TensorInfo(shape, dtype), source, list(steps))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("shape", "rows"),
    [
        ((4, 25), [(0, 4)]),
        ((5, 25), [(0, 4), (4, 5)]),
        ((8, 25), [(0, 4), (4, 8)]),
        ((3, 200), [(0, 1), (1, 2), (2, 3)]),
        ((3, 5, 10), [(0, 2), (2, 3)]),
        ((100,), [(0, 100)]),
        ((101,), [(0, 100), (100, 101)]),
    ],
)
def test_blocks_have_so_many_numbers_and_are_the_whole_tensor(shape, rows, dtype, monkeypatch):
    monkeypatch.setattr(computation, "BLOCK_ELEMENTS", 100)
    blocks = list(blocks_of(planned(shape, dtype)))
    found = [(0, shape[0]) if block.rows == ALL else (block.rows.start, block.rows.stop) for block in blocks]
    assert found == rows
    assert sum(block.source_bytes for block in blocks) == blocks[0].planned.source.info.bytes


@pytest.mark.parametrize("is_by_rows", [(True, True), (True, False), (False, True)])
def test_one_step_that_needs_all_rows_makes_one_block(is_by_rows, monkeypatch):
    monkeypatch.setattr(computation, "BLOCK_ELEMENTS", 10)
    answers = dict(zip("ab", is_by_rows, strict=True))
    monkeypatch.setattr(computation, "merges_by_rows", lambda parts, shape, config: answers[parts])
    steps = [SimpleNamespace(kind="lora", parts=name, config=None) for name in answers]
    assert (len(list(blocks_of(planned((4, 10), steps=steps)))) == 4) == all(is_by_rows)
    other = [*steps, SimpleNamespace(kind="rows", parts="a", config=None)]
    assert [block.rows for block in blocks_of(planned((4, 10), steps=other))] == [ALL]
    assert [block.rows for block in blocks_of(planned((), steps=()))] == [ALL]


def test_steps_follow_each_other_from_the_row_where_a_block_begins_and_the_cast_is_last(monkeypatch):
    class Merger:
        def __init__(self, module, shape, parts, config, device):
            assert (shape, device) == ((8, 2), "meta")
            self.module = module

        def merge(self, tensor, first):
            assert tensor.dtype == torch.float32
            return tensor * 2 if self.module == "twice" else tensor + 1000 * first + 1 / 3

    monkeypatch.setattr(computation, "LoraMerger", Merger)
    steps = [SimpleNamespace(kind="lora", parts={}, config=None, module=name) for name in ("twice", "first")]
    steps.append(SimpleNamespace(kind="lora_bias", parts={}, config=None, module="bias"))
    monkeypatch.setattr(computation, "merge_lora_bias", lambda module, tensor, parts, config: tensor - 7)
    computed = Computation(planned((8, 2), torch.bfloat16, steps), "meta")
    given = torch.arange(4.0).view(2, 2)
    for rows, first in ((ALL, 0), (slice(3, 5), 3)):
        wanted = (given * 2 + 1000 * first + 1 / 3 - 7).bfloat16()
        assert torch.equal(computed.apply(given, rows), wanted) and wanted.dtype == torch.bfloat16


def test_each_part_of_a_quantised_weight_is_its_own_and_the_error_is_noted_once(monkeypatch):
    noted = []
    stored = {name: torch.full((2,), number) for number, name in enumerate(("qweight", "weight_scale"))}
    monkeypatch.setattr(computation, "quantise", lambda weight, kind: stored | {"given": (weight, kind)})
    monkeypatch.setattr(computation.QuantisationError, "add", lambda self, *given: noted.append(given))
    for name in ("weight_scale", "qweight"):
        tensor = planned((2,))
        tensor.part = StoredPart("int8", name, torch.bfloat16)
        assert torch.equal(Computation(tensor).apply(torch.ones(2), ALL), stored[name])
    [(weight, kind, found)] = noted
    assert (weight.dtype, kind, found["given"]) == (torch.bfloat16, "int8", (weight, "int8"))
