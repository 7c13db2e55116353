"""Write all pictures: `python -m docs_tools.data_flow [FOLDER]`."""

import sys
from pathlib import Path

from .pictures import PICTURES

FOLDER = Path(__file__).parents[2] / "docs" / "families"

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        (folder / f"{name}.svg").write_text(draw().svg())
        print(folder / f"{name}.svg")
