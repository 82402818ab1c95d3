# figures, test, check, fuzz, portable, bench and lab set up .venv themselves when it is missing or older than pyproject.toml.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
NBVAL := $(BIN)/python -m pytest --nbval --nbval-cell-timeout=600 -p no:cacheprovider

.PHONY: figures test check fuzz portable bench lab clean

figures: $(READY)
	$(BIN)/python -m mdissect figures

test: export MDISSECT_FIGURES := $(CURDIR)/build/figures
test: export MDISSECT_STORE := $(CURDIR)/build/store
test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -n 2 -m "not benchmark and not ray"
	$(BIN)/python -m pytest -n 0 -m ray tests/engine
	$(NBVAL) -n 2 --dist loadfile $(filter-out notebooks/00_%,$(wildcard notebooks/*.ipynb))
	$(NBVAL) notebooks/00_*.ipynb

# For everyday work: a minute or so, without what is marked as slow.
check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -n 2 -m "not benchmark and not slow"

# Random inputs, many more than `make test` tries.
fuzz: $(READY)
	MDISSECT_FUZZ=long $(BIN)/python -m pytest -n 2 tests/fuzz

# As other processors compute: every instruction set that this machine has; `make portable ONLY=--short` takes one.
portable: $(READY)
	$(BIN)/python tests/portable.py $(ONLY)

# Speed and memory on this machine: the tables of tests/bench. `make bench SIZE=quick ONLY=stages` tries one.
bench: $(READY)
	$(BIN)/python tests/bench.py --size $(or $(SIZE),full) $(ONLY)

lab: $(READY)
	$(BIN)/jupyter lab notebooks

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("mdissect needs Python 3.11 or newer, but " + sys.executable + " is " + sys.version.split()[0] + "; try: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV) once: pip downloads and installs about 6 GB of libraries; this takes some minutes."
	$(BIN)/python -m pip install --disable-pip-version-check -e ".[dev]"
	@echo "Setup is done: $(BIN)/python -m mdissect doctor shows what is installed."
	touch $(READY)

clean:
	rm -rf $(VENV) build .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
