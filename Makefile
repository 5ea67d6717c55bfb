# Every target sets up what it needs: a .venv with the versions in constraints.txt.
# Linux without a GPU: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo  (torch without CUDA)

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
CODE := landscape analyses figures docs/generate.py

.PHONY: demo test lint docs dist bench checkpoints reproduce slice

demo: $(READY)
	$(BIN)/landscape demo

# The files of tests are shared out over the cores; each test runs on one thread.
test: lint .venv/.docs
	$(BIN)/python -m pytest -q -n logical --maxprocesses 8 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy --no-error-summary $(CODE)

# The site, in site/index.html; its pages that follow from the code are written first, and a warning is an error.
docs: .venv/.docs
	$(BIN)/python docs/generate.py
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -b html docs site

.venv/.docs: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

# What a release ships: the sdist, and the wheel that is built from it.
dist: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt build
	rm -rf dist build
	$(BIN)/python -m build

# The peers are the benchmark's alone: no extra names them, and the constraints keep their torch the one we have.
bench: $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt curvlinops-for-pytorch
	$(BIN)/python benchmarks/hessian.py

# All figures on digits, in minutes; other profiles: landscape reproduce all --profile mnist --cores 8
reproduce: $(READY) .venv/.snakemake
	$(BIN)/landscape reproduce all --profile digits --cores 2

# The part of it that CI runs: the linear model's figure and the smallest cells of the collapse.
slice: $(READY) .venv/.snakemake
	$(BIN)/landscape reproduce all --settings figures/slice.toml --profile slice --cores 2

.venv/.snakemake: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[reproduce]'
	@touch $@

checkpoints: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" sh checkpoints/make.sh

$(READY): setup.py constraints.txt
	@command -v $(PYTHON) >/dev/null || \
	  { echo "$(PYTHON) is not there; install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$$($(PYTHON) --version 2>&1) is too old; wanted 3.11 or newer: make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
