#!/bin/sh
# All that only a CUDA device can tell, in about eight minutes: the checks of `make test-gpu`, and the table of whole
# predictions; both go into benchmarks/RESULTS.md. From anywhere; PYTHON names another interpreter than .venv's, arguments
# go to the benchmark (--family cogvla, --minutes 2; --mode compile, by which a model takes minutes, and a driver's more
# than ten). Exit status 1 where a check failed or graphs gave other actions.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
"$python" -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "no CUDA device is here")'
failed=0
mkdir -p build
"$python" -m benchmarks.card --device cuda --write --json build/card.json || failed=1
"$python" -m benchmarks gpu --device cuda --mode graphs --profile --write "$@" || failed=1
exit $failed
