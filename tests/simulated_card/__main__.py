"""See the package."""

import runpy
import sys

from simulated_card import native

if __name__ == "__main__":
    native.load()
    sys.modules["bitsandbytes"] = None  # its kernels are a card's own

    from simulated_card.cuda import cards

    module, sys.argv = sys.argv[1], sys.argv[1:]
    with cards():
        runpy.run_module(module, run_name="__main__", alter_sys=True)
