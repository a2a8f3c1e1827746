# Two commands: `make demo` and `make test`. Both set up what they need in .venv, from the pinned lock.
PYTHON ?= python3
BIN := .venv/bin
# One thread a process: two busy processes that both take both cores are many times slower than one thread each.
ONE := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: install demo test lint lock clean

install: .venv/installed

.venv/installed: pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	touch $@

demo: install
	OMP_NUM_THREADS=2 $(BIN)/trine demo --out demo

test: install lint
	$(ONE) $(BIN)/python -m pytest -n 2 --dist loadfile tests

lint: install
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

# Pins what is installed now; run in an environment made from pyproject.toml when a dependency changes.
lock:
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > requirements.lock

clean:
	rm -rf .venv demo build dist
