# `make quickstart` and `make test` are all a fresh machine needs; each sets up what it uses.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: setup quickstart test check format

setup: $(INSTALLED)

# The stamp is written last, so an interrupted set-up is done again.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or later is needed: name one with make PYTHON=python3.11"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv || \
	    { echo "$(PYTHON) cannot make a virtual environment: install its venv package (Debian: python3-venv)"; exit 1; }
	@echo "Installing into .venv (about 5 GB, half a minute with a warm cache)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@set -o pipefail; $(BIN)/uv pip install --python $(BIN)/python --constraint constraints.txt \
	    --editable '.[test]' 2>&1 | grep --line-buffered -v '^ [-+~] '
	@touch $@

quickstart: setup
	@$(BIN)/python -m data_engine.run experiment=quickstart

test: setup
	@$(BIN)/python -m pytest -n auto

check: setup
	@$(BIN)/ruff format --check --output-format concise .
	@$(BIN)/ruff check --output-format concise .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest --quiet tests/test_layering.py

format: setup
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
