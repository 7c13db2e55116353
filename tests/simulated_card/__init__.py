"""Two cards that are not there: `python -m simulated_card MODULE WORDS...` runs a module as if torch saw them.

Their tensors say `cuda:0` or `cuda:1`, hold their numbers in the CPU's memory, and go with no tensor of another device
but where a card's kernels would take one: so what was forgotten on the CPU, or on the other card, ends as it ends on a
card, and what is computed can be compared. Each has its own random numbers.

Who waits for them is told (`torch.cuda.set_sync_debug_mode`), and graphs are recorded and replayed.

What a card's own kernels compute, what is in flight, memory and processes of NCCL are not simulated: `make test-gpu`.
Nothing here imports torch before `native.load`, which registers the devices and has to come first.
"""
