# Everything from a fresh machine with Python 3.10 or newer and make:
#   make demo    a tiny training run becomes a checkpoint that predicts actions
#   make demo-llava3d    published parts become a LLaVA-3D checkpoint with an action expert
#   make demo-alpamayo   a published Alpamayo-R1 becomes a checkpoint that drives
#   make demo-composed   a SigLIP and a Gemma become a VLA that learns and predicts
#   make demo-finetune   a tiny CogVLA learns a drawn dataset by LoRA, and is merged and asked
#   make demo-stages     a tiny OpenVLA becomes OpenVLA-OFT and then CogVLA, stage by stage
#   make demo-driving-loop   a tiny Alpamayo-R1 learns a drawn lane and drives in a closed loop, in minutes
#   make demo-closed-loop    a small policy learns two tasks of Meta-World from scripted experts, and solves them in LeRobot, in an hour
#   make demo-drawn-board    a tiny policy learns to go to a block, and does; FAMILY=cogvla for another family
#   make test    the tests, with transformers 5.x; make test-slow those that take long: two cases of each, CASES=1000 for all
#   make test-random SEED="7 8"  the tests in random orders, a line each in benchmarks/random_order.csv
#   make coverage    how much of the packages the tests run: lines and branches
#   make test-transformers4  the tests, with transformers 4.57, as many of each
#   make test-newest         a selection of them, with the newest release of everything in the ranges of setup.cfg
#   make test-transformers5.9.0   the same ones with another release of transformers, from 5.5 on
#   make test-lowest         a selection of them, with the lowest release of everything in those ranges, and Python 3.10
#   make test-python3.12     a selection of them with another Python: 3.10 to 3.13, where it is on the path or of pyenv
#   make properties          those of tests/properties, with 1000 examples each (VLAHUB_EXAMPLES says others), not 25
#   make fuzz    damaged and hostile input of every kind, for ten minutes; SECONDS=60 SEED=3 for others
#   make mutants             small planted faults, of which the tests have to notice 95 %; JOBS=2, ONLY="name name";
#                            VENV=.venv4 for those of code that transformers 4.57 runs alone
#   make test-lerobot        those of integrations/lerobot_policy_vlahub, where there is Python 3.12 and room for LeRobot
#   make test-gpu            what a card computes beside what a processor does, in build/card.json; DEVICE=cpu without one
#   make docs    the documentation as a site, in site/index.html
#   make audit   known vulnerabilities of the versions that constraints*.txt pin; says so where nobody can be asked
#   make release sdist, wheel and SHA256SUMS of the commit in dist/, the same bytes wherever they are built
PYTHON ?= python3
# $(call python_of,3.12): the first Python 3.12 that runs, on the path or of pyenv; nothing where there is none.
python_of = $(firstword $(foreach python,python$(1) $(wildcard $(HOME)/.pyenv/versions/$(1).*/bin/python$(1)),\
	$(shell $(python) -c 'print("$(python)")' 2>/dev/null)))
LEROBOT_PYTHON ?= $(call python_of,3.12)
LOWEST_PYTHON ?= $(call python_of,3.10)
# A warning that something goes away is ours to mend before it does. Where nothing is compiled yet, Python also warns of
# the strings in other people's modules while it compiles them: that is theirs.
REMOVALS = -W error::FutureWarning -W error::DeprecationWarning -W 'ignore:invalid escape sequence:DeprecationWarning'
# Slow tests of what the two lines of transformers do differently: VLMs and their processors, quantisation, the Trainer.
SLOW_OF_BOTH_LINES = tests/modeling/multimodal_vla tests/processing tests/modeling/test_quantised_predictions.py \
	tests/conversion/test_quantised_checkpoints.py tests/training/test_distributed.py 'tests/hub/test_finetuned.py::$(FINETUNED)'
FINETUNED = test_it_learns_and_everything_that_it_learned_is_merged_published_and_loaded_by_name[cogvla]
# Bytecode is kept: without it every worker and every process that a test starts compiles tests and package again.
PYTEST = PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(1)/bin/python -m pytest -n auto --dist worksteal

.PHONY: demo demo-llava3d demo-alpamayo demo-composed demo-finetune demo-stages demo-drawn-board demo-driving-loop \
	demo-closed-loop test test-slow test-transformers4 test-newest test-lowest test-lerobot lint docs audit release \
	properties fuzz mutants test-gpu test-random coverage benchmark clean

demo: .venv/installed
	.venv/bin/python examples/demo.py --output demo_output

demo-llava3d: .venv/installed
	.venv/bin/python examples/demo_llava3d.py --output demo_llava3d_output

demo-alpamayo: .venv/installed
	.venv/bin/python examples/demo_alpamayo.py --output demo_alpamayo_output

demo-composed: .venv/installed
	.venv/bin/python examples/demo_composed.py --output demo_composed_output

demo-finetune: .venv/installed
	.venv/bin/python examples/demo_finetune.py --output demo_finetune_output

demo-stages: .venv/installed
	rm -rf demo_stages_output
	.venv/bin/python examples/stages.py --output demo_stages_output

demo-driving-loop: .venv/installed
	.venv/bin/python examples/closed_loop/driving_loop.py --output demo_driving_loop_output

demo-closed-loop: .venv-lerobot/metaworld
	.venv-lerobot/bin/python examples/closed_loop/metaworld_demo.py --output demo_closed_loop_output

FAMILY ?= multimodal_vla
demo-drawn-board: .venv/installed
	.venv/bin/python examples/closed_loop/demo_drawn_board.py --family $(FAMILY) --output demo_drawn_board_output

test: .venv/installed
	$(call PYTEST,.venv) -m "not slow"

# Of a test that takes long, or that transformers 5.x runs whole, two cases; CASES=1000 for all.
CASES ?= 2

SEED ?= 1
RECORD ?= benchmarks/random_order.csv
# With =, for before it reads tests/conftest.py pytest takes a word of its own, such as a file that exists, for tests.
test-random: .venv/installed
	for seed in $(SEED); do $(call PYTEST,.venv) -m "not slow" --shuffle=$$seed --record=$(RECORD) || exit 1; done

coverage: .venv/installed
	$(call PYTEST,.venv) -m "not slow" --cov --cov-report=term:skip-covered --cov-report=html

test-slow: .venv/installed
	$(call PYTEST,.venv) -m slow --cases=$(CASES)

# TARGET=headers: one target alone; with CASE=17: one case of it, as a fault is told.
SECONDS ?= 600
SEED ?= 0
fuzz: .venv/installed
	PYTHONPATH=tests:examples .venv/bin/python -W ignore -m fuzz --seconds $(SECONDS) --seed $(SEED) \
		$(if $(TARGET),--target $(TARGET)) $(if $(CASE),--case $(CASE))

test-transformers4: .venv4/installed
	$(call PYTEST,.venv4) -m "not slow and not inductor" --cases=$(CASES)
	$(call PYTEST,.venv4) -m "slow and not inductor" --cases=$(CASES) $(SLOW_OF_BOTH_LINES)

test-newest: .venvnew/installed
	$(call PYTEST,.venvnew) -m newest $(REMOVALS)

test-transformers5.%:
	@$(MAKE) --silent .venv5.$*/installed && $(call PYTEST,.venv5.$*) -m newest

# As test-lerobot, and for the same reason: torch 2.6 with CUDA is 5 GB.
test-lowest:
	@if [ -z '$(LOWEST_PYTHON)' ]; then echo "$@: skipped, for it needs Python 3.10, and there is none"; \
	elif ! $(MAKE) --silent .venvlow/installed; then \
		echo "$@: skipped, for the lowest releases could not be installed (above)"; \
	else $(call PYTEST,.venvlow) -m newest; fi

test-python%:
	@if [ -z '$(call python_of,$*)' ]; then echo "$@: skipped, for there is no Python $*"; \
	else $(MAKE) --silent .venvpy$*/installed && $(call PYTEST,.venvpy$*) -m newest; fi

VLAHUB_EXAMPLES ?= 1000
properties: .venv/installed
	VLAHUB_EXAMPLES=$(VLAHUB_EXAMPLES) $(call PYTEST,.venv) tests/properties

JOBS ?= 2
VENV ?= .venv
mutants: $(VENV)/installed
	$(VENV)/bin/python -m tests.mutants --jobs $(JOBS) $(if $(ONLY),--only $(ONLY))

# Whoever cannot have LeRobot is told so, and has not failed; a second call installs nothing.
test-lerobot:
	@python='$(LEROBOT_PYTHON)'; \
	if [ -z "$$python" ]; then echo "test-lerobot: skipped, for LeRobot 0.6 needs Python 3.12, and there is none"; \
	elif ! $(MAKE) --silent .venv-lerobot/installed LEROBOT_PYTHON="$$python"; then \
		echo "test-lerobot: skipped, for LeRobot or torch could not be installed (above)"; \
	else cd integrations/lerobot_policy_vlahub && OMP_NUM_THREADS=1 ../../.venv-lerobot/bin/python -m pytest; fi

# Of a folder that holds all but torch and transformers, for machines where nothing can be installed; with .venv's
# Python, or another that has the two.
DEVICE ?= auto
test-gpu:
	@python=$(CURDIR)/.venv/bin/python; \
	if ! test -e .venv/installed; then \
		if $(PYTHON) -c 'import torch, transformers' 2>/dev/null; then python=$(PYTHON); \
		else $(MAKE) --silent .venv/installed; fi; \
	fi; \
	$$python -m benchmarks.card.carried build/card && cd build/card && \
	$$python -m benchmarks.card --device $(DEVICE) --json $(CURDIR)/build/card.json

lint: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet

audit: .venv-release/installed
	.venv-release/bin/python releasing/audit.py $(wildcard constraints*.txt)

release: .venv-release/installed
	.venv-release/bin/python releasing/release.py dist

benchmark: .venv/installed
	.venv/bin/python -m benchmarks predict

# Bytecode is made of what is imported, not of all that is installed. openpi-client asks for numpy below 2, and works
# with newer ones.
.venv/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt \
		--editable '.[dev,docs]'
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps openpi-client==0.1.2
	touch $@

.venv4/installed: setup.cfg pyproject.toml constraints-transformers4.txt
	$(PYTHON) -m venv .venv4
	.venv4/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
		--constraint constraints-transformers4.txt --editable '.[dev]'
	touch $@

# Of the day that it was made on; `rm -r .venvnew` for that of today.
.venvnew/installed: setup.cfg pyproject.toml constraints-newest.txt
	$(PYTHON) -m venv .venvnew
	.venvnew/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
		--constraint constraints-newest.txt --editable '.[dev]'
	touch $@

# Newer releases of all else may not go with this one of transformers: pip finds those that do.
.venv5.%/installed: setup.cfg pyproject.toml constraints-newest.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
		--constraint constraints-newest.txt --editable '.[dev]' transformers==5.$*
	touch $@

# The registry has torch 2.6 for Linux with CUDA alone: 5 GB, for which bytecode is made when it is needed.
.venvlow/installed: setup.cfg pyproject.toml constraints-lowest.txt
	$(LOWEST_PYTHON) -m venv .venvlow
	.venvlow/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
		--constraint constraints-lowest.txt --editable '.[dev]'
	touch $@

# As .venvnew, with a Python of one's choice.
.venvpy%/installed: setup.cfg pyproject.toml constraints-newest.txt
	$(call python_of,$*) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
		--constraint constraints-newest.txt --editable '.[dev]'
	touch $@

# torch's default build brings CUDA: 6 GB.
.venv-lerobot/installed: setup.cfg constraints-lerobot.txt integrations/lerobot_policy_vlahub/pyproject.toml
	@test -n '$(LEROBOT_PYTHON)' || { echo 'LeRobot 0.6 needs Python 3.12, and there is none' >&2; exit 1; }
	$(LEROBOT_PYTHON) -m venv .venv-lerobot
	.venv-lerobot/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-lerobot.txt \
		'lerobot[training,evaluation,async]' --editable . --editable 'integrations/lerobot_policy_vlahub[test]'
	touch $@

# Beside LeRobot the simulator (mujoco 4 breaks it), the server, and a client that asks for numpy below 2 and works with newer.
.venv-lerobot/metaworld: .venv-lerobot/installed
	.venv-lerobot/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-lerobot.txt \
		metaworld==3.1.1 mujoco==3.3.0 --editable '.[serve]'
	.venv-lerobot/bin/python -m pip install --quiet --disable-pip-version-check --no-deps openpi-client==0.1.2
	touch $@

# No other environment may change what checks and builds a release.
.venv-release/installed: releasing/requirements.txt
	$(PYTHON) -m venv .venv-release
	.venv-release/bin/python -m pip install --quiet --disable-pip-version-check --requirement releasing/requirements.txt
	touch $@

clean:
	rm -rf .venv .venv4 .venvnew .venvlow .venv5.* .venvpy* .venv-lerobot .venv-release demo_*output site build *.egg-info mutants_output htmlcov .coverage*
