"""What counts the waits for a device is right itself: each way to wait, and what looks like one and is none."""

import numpy as np
import pytest
import torch
from host_waits import HostWaits

NUMBERS, BOOLS, TWO = torch.arange(6.0), torch.arange(6) % 2 == 0, torch.tensor(2)
COUNTS = torch.ones(6, dtype=torch.long)
ASKING = {
    "item": lambda: TWO.item(),
    "tolist": lambda: NUMBERS.tolist(),
    "int": lambda: int(TWO),
    "float": lambda: float(TWO),
    "index of a list": lambda: "abc"[TWO],
    "index by a number on the device": lambda: NUMBERS[TWO],
    "slice": lambda: NUMBERS[:TWO],
    "if": lambda: 1 if BOOLS.any() else 0,
    "in": lambda: 3 in NUMBERS,
    "cpu": lambda: NUMBERS.cpu(),
    "to cpu": lambda: NUMBERS.to("cpu"),
    "to device=cpu": lambda: NUMBERS.to(device="cpu", dtype=torch.float64),
    "read once it is on the CPU": lambda: (BOOLS.all().cpu() & True).item(),
    "numpy of what is on the CPU": lambda: NUMBERS.cpu().numpy().tolist(),
    "arange": lambda: torch.arange(TWO),
    "full": lambda: torch.full((2,), TWO),
    "equal": lambda: torch.equal(NUMBERS, NUMBERS),
    "allclose": lambda: torch.allclose(NUMBERS, NUMBERS),
    "nonzero": lambda: BOOLS.nonzero(),
    "where": lambda: torch.where(BOOLS),
    "index by bools": lambda: NUMBERS[BOOLS],
    "put by bools": lambda: NUMBERS.clone().index_put_((BOOLS,), torch.zeros(3)),
    "masked_select": lambda: NUMBERS.masked_select(BOOLS),
    "unique": lambda: NUMBERS.unique(),
    "unique_consecutive": lambda: NUMBERS.unique_consecutive(),
    "bincount": lambda: COUNTS.bincount(),
    "repeat_interleave": lambda: NUMBERS.repeat_interleave(COUNTS),
    "isin many": lambda: torch.isin(NUMBERS, torch.arange(40.0)),
    "inverse": lambda: torch.linalg.inv(torch.eye(3)),
    "cholesky": lambda: torch.linalg.cholesky(torch.eye(3)),
    "multinomial": lambda: torch.multinomial(NUMBERS, 1),
    "is_nonzero": lambda: torch.is_nonzero(TWO),
}
HANDING = {
    "tensor": lambda: torch.tensor([1, 2]),
    "tensor of a number": lambda: torch.tensor(1.0),
    "as_tensor": lambda: torch.as_tensor([1, 2]),
    "asarray": lambda: torch.asarray([1, 2]),
    "new_tensor": lambda: NUMBERS.new_tensor([1.0]),
    "from_numpy": lambda: torch.from_numpy(np.ones(2)),
    "Tensor": lambda: torch.Tensor([1.0]),
    "index by a list": lambda: NUMBERS[[0, 1]],
    "index by an array": lambda: NUMBERS[np.array([0, 1])],
    "to another device": lambda: NUMBERS.to("meta"),
}
NEITHER = {
    "arithmetic": lambda: (NUMBERS + 1).clamp(0, 1) * NUMBERS,
    "new numbers": lambda: (torch.full((2,), 3.0), torch.arange(4), torch.zeros(2), torch.linspace(0, 1, 3)),
    "drawn": lambda: (torch.randn(2), torch.randint(3, (2,))),
    "a number put": lambda: NUMBERS.clone().__setitem__(0, 1.0),
    "masked_fill": lambda: NUMBERS.masked_fill(BOOLS, 0.0),
    "where of three": lambda: torch.where(BOOLS, NUMBERS, 0.0),
    "gather": lambda: (NUMBERS.gather(0, COUNTS), NUMBERS[COUNTS], NUMBERS.index_select(0, COUNTS)),
    "repeat_interleave of a known size": lambda: NUMBERS.repeat_interleave(COUNTS, output_size=6),
    "repeat_interleave by a number": lambda: NUMBERS.repeat_interleave(2),
    "isin few": lambda: torch.isin(NUMBERS, NUMBERS[:2]),
    "inverse without a look": lambda: torch.linalg.inv_ex(torch.eye(3)),
    "one_hot of known classes": lambda: torch.nn.functional.one_hot(COUNTS, 3),
    "dtype": lambda: NUMBERS.to(torch.float64).to(NUMBERS.device),
    "shape": lambda: (NUMBERS.shape[0], len(NUMBERS), NUMBERS.numel(), list(NUMBERS.unbind())),
    "an empty tensor": lambda: torch.tensor([]),
    "an error elsewhere": lambda: NUMBERS.numpy(),
}


@pytest.mark.parametrize("way", ASKING)
def test_a_number_read_is_asked_once_with_its_place(way):
    with HostWaits() as waits:
        ASKING[way]()
    assert (waits.asked, waits.handed) == (1, 0), str(waits)
    assert f"tests/{__name__.rsplit('.')[-1]}.py:" in str(waits)


@pytest.mark.parametrize("way", HANDING)
def test_a_tensor_of_python_numbers_is_handed_once(way):
    with HostWaits() as waits:
        HANDING[way]()
    assert (waits.asked, waits.handed) == (0, 1), str(waits)


@pytest.mark.parametrize("way", NEITHER)
def test_what_waits_for_nothing_is_not_counted(way):
    with HostWaits() as waits:
        NEITHER[way]()
    assert (waits.asked, waits.handed) == (0, 0), str(waits)


def test_what_is_counted_ends_with_the_block():
    with HostWaits() as waits:
        TWO.item()
    TWO.item()
    assert waits.asked == 1 and waits.found == {"_local_scalar_dense": 1}


def test_tensors_elsewhere_say_so_and_code_that_looks_at_what_is_at_hand_does_not():
    at_hand = torch.arange(3)
    at_hand.is_on_host = True
    with HostWaits(elsewhere=True) as waits:
        made = torch.arange(3, device=NUMBERS.device) + torch.zeros(3, device=NUMBERS.device)
        assert made.device.type == NUMBERS.device.type == torch.nn.Linear(1, 1).weight.device.type == "cuda"
        assert {each.device.type for each in (at_hand, made.cpu(), torch.zeros(3, device="cpu") + 1)} == {"cpu"}
        assert at_hand.tolist() == [0, 1, 2]
        assert made.to(at_hand.device).sum().item() == 3
    assert (waits.asked, waits.handed) == (2, 0), str(waits)
    assert made.device.type == "cpu"


def test_numbers_of_the_host_are_handed_over_where_they_go_to_the_device():
    with HostWaits(elsewhere=True) as waits:
        device = NUMBERS.device
        host = torch.tensor([1.0, 2.0]) * torch.arange(2)
        assert host.device.type == "cpu" and host.tolist() == [0.0, 2.0]
        assert (NUMBERS * torch.tensor(0.5)).device == device  # a factor, which goes with the kernel
        assert waits.handed == waits.asked == 0
        assert host.to(device).device == host.to(device=device, dtype=torch.float64).device == device
        assert waits.handed == 2
        assert NUMBERS[torch.arange(2)].device == device and torch.tensor([1.0], device=device).device == device
    assert (waits.asked, waits.handed) == (0, 4), str(waits)
