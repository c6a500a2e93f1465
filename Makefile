# Each target does everything from a fresh clone: it makes .venv, installs into it once, and runs.

PYTHON ?= python3
BIN = .venv/bin
INSTALLED = .venv/installed

.PHONY: train test lint

train: $(INSTALLED)
	$(BIN)/bptt train

test: $(INSTALLED)
	$(BIN)/pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
