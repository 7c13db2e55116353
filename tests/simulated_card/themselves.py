"""What simulated cards refuse and what they compute: `python -m simulated_card simulated_card.themselves`."""

import copy
import pickle
import threading

import numpy as np
import torch
from torch import nn


def refused(words: str, call) -> None:
    try:
        call()
    except (RuntimeError, TypeError) as error:
        if words in str(error):
            return
        raise
    raise AssertionError(f"nobody said {words!r}")


APART = "Expected all tensors to be on the same device"


def devices_stay_apart() -> None:
    first, second, on_cpu = torch.ones(3, 4, device="cuda"), torch.ones(3, 4, device="cuda:1"), torch.ones(3, 4)
    for other in (second, on_cpu):
        refused(APART, lambda other=other: first + other)
        refused(APART, lambda other=other: torch.cat([first, other]))
        refused(APART, lambda other=other: first[other.bool().to(other.device)] if other is second else first + other)
        refused(APART, lambda other=other: nn.Linear(4, 4).to(other.device)(first))
    refused(APART, lambda: torch.stack([first.sum(), on_cpu.sum()]))
    refused("can't convert cuda:0", first.numpy)
    refused("can't convert cuda:0", lambda: np.asarray(first))
    refused("Expected a 'cuda' device", lambda: torch.randn(2, device="cuda", generator=torch.Generator()))
    assert (first + on_cpu.sum()).device == first.device  # a number of the CPU goes with a card's tensors
    assert torch.equal(first[torch.tensor([0, 2])].cpu(), on_cpu[:2])  # and so do places
    refused("invalid device ordinal", lambda: torch.zeros(1, device="cuda:2"))
    refused("invalid device ordinal", lambda: on_cpu.to("cuda:2"))
    assert first.to("cuda:1").device == second.device and torch.equal(first.to(second).cpu(), on_cpu)


def numbers_are_those_of_a_processor() -> None:
    torch.manual_seed(0)
    on_cpu = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 2))
    given = torch.randn(5, 4)
    on_cpu(given).square().mean().backward()
    model = copy.deepcopy(on_cpu)
    weight = model[0].weight
    model.zero_grad()
    model.to("cuda:1")(given.to("cuda:1")).square().mean().backward()
    assert model[0].weight is weight and isinstance(weight, nn.Parameter) and weight.device == torch.device("cuda:1")
    for one, other in zip(on_cpu.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(other.grad.cpu(), one.grad)
    for each in (on_cpu, model):
        torch.optim.AdamW(each.parameters(), lr=0.1).step()
    torch.testing.assert_close(weight.cpu(), on_cpu[0].weight)
    assert model.to("cpu")[0].weight is weight and type(weight) is nn.Parameter
    half = on_cpu.to("cuda").to(torch.bfloat16)
    assert {(each.dtype, str(each.device)) for each in half.parameters()} == {(torch.bfloat16, "cuda:0")}
    with torch.autocast("cuda", torch.bfloat16):
        assert (torch.ones(2, 2, device="cuda") @ torch.ones(2, 2, device="cuda")).dtype == torch.bfloat16


def made_and_changed_in_place() -> None:
    made = torch.zeros(3, device="cuda")
    made[1:] += 2
    made[0] = 5.0
    assert made.tolist() == [5, 2, 2] and made.sum().item() == 9
    assert torch.arange(3, device="cuda").tolist() == torch.tensor([0, 1, 2], device="cuda:1").tolist() == [0, 1, 2]
    assert torch.tensor([made[0], made[1]], device="cuda").tolist() == [5, 2]
    assert torch.tril_indices(2, 2, device="cuda").shape == (2, 3)
    assert torch.tensor([made.sum(), made[0]], device="cuda").tolist() == [9, 5]
    view = made.view(3, 1)
    view.mul_(2)
    assert made.tolist() == [10, 4, 4]
    assert torch.equal(pickle.loads(pickle.dumps(made)), torch.tensor([10.0, 4, 4]))
    copied = copy.deepcopy({"a": made, "b": made})
    assert copied["a"] is copied["b"] and copied["a"].device == made.device


def threads_see_the_cards() -> None:
    given, found = torch.ones(2, 4), []
    model = nn.Linear(4, 4).to("cuda")
    thread = threading.Thread(target=lambda: found.append(model(given.to("cuda"))))
    thread.start(), thread.join()
    assert found[0].device == torch.device("cuda:0") and torch.equal(found[0].cpu(), model(given.to("cuda")).cpu())


def each_device_draws_for_itself() -> None:
    torch.manual_seed(0)
    first, of_cpu = torch.rand(3, device="cuda"), torch.rand(3)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(3), of_cpu) and torch.equal(torch.rand(3, device="cuda").cpu(), first.cpu())
    state = torch.cuda.get_rng_state()
    drawn = torch.rand(2, device="cuda")
    torch.cuda.set_rng_state(state)
    torch.rand(2), torch.rand(2, device="cuda:1")
    assert torch.equal(torch.rand(2, device="cuda").cpu(), drawn.cpu())
    one, other = (torch.Generator("cuda").manual_seed(3) for _ in range(2))
    assert torch.equal(*(torch.randn(4, device="cuda", generator=each).cpu() for each in (one, other)))


if __name__ == "__main__":
    assert torch.cuda.is_available() and torch.cuda.device_count() == 2
    devices_stay_apart()
    numbers_are_those_of_a_processor()
    made_and_changed_in_place()
    threads_see_the_cards()
    each_device_draws_for_itself()
