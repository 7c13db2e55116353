#!/bin/sh
# All that only a CUDA device can tell, in about eight minutes: that predictions wait for nothing, that graphs give the
# bits of the eager kernels, and the table, which goes into benchmarks/RESULTS.md. From anywhere; PYTHON names another
# interpreter than .venv's, arguments go to the benchmark (--family cogvla, --minutes 2).
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
"$python" -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "no CUDA device is here")'
"$python" -m pytest -q tests/modeling/test_host_waits.py
"$python" -m benchmarks gpu --device cuda --mode all --profile --write "$@"
