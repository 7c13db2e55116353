"""LeRobot's command lines in this process."""

import importlib
import sys
from unittest.mock import patch


def run(name, *words):
    """`lerobot-NAME WORDS`."""
    main = importlib.import_module(f"lerobot.scripts.lerobot_{name}").main
    with patch.object(sys, "argv", [f"lerobot-{name}", *words]):
        main()
