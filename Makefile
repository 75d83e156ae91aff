# Everything runs in .venv, made from the first Python of the right version on this machine. Try `make demo`.

VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
CANDIDATES := python3.11 python3.12 python3.13 python3 python
IN_RANGE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

# Not compiled ahead: Python compiles what is imported when it first is, and of these libraries that is a small part.
PIP_OPTIONS := --disable-pip-version-check --no-compile

# One thread per test process: two of them would otherwise compete for the same cores.
TEST_ENVIRONMENT := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

ifeq ($(origin PYTHON),undefined)
PYTHON = $(shell for name in $(CANDIDATES); do \
	$$name -c '$(IN_RANGE)' >/dev/null 2>&1 && { command -v $$name; break; }; done)
endif

.PHONY: help demo test test-all lint browser bench install clean

help:
	@echo "make demo      install into .venv and run the quickstart: raw text to a model you can talk to"
	@echo "make test      lint, then every test that is not marked long"
	@echo "make test-all  lint, then every test"
	@echo "make lint      ruff, mypy and the import contracts"
	@echo "make bench     the benchmarks, one table (ARGUMENTS=--quick for a minute's version)"
	@echo "make install   .venv with everything for development"
	@echo "make clean     remove .venv and caches; runs/ stays"

demo: $(VENV)/installed
	$(BIN)/lumi quickstart

test: lint browser
	$(TEST_ENVIRONMENT) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not long"

test-all: lint browser
	$(TEST_ENVIRONMENT) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# A few tests look at pages in a browser. Without one they are skipped and say why, so nothing here may fail.
browser:
	@command -v chromium >/dev/null || \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "Installing chromium for the tests that look at pages."; \
			{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; \
			} >/dev/null 2>&1 || echo "chromium could not be installed; those tests are skipped."; \
		fi

bench: $(VENV)/installed-dev
	$(BIN)/python bench $(ARGUMENTS)

install: $(VENV)/installed-dev

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find lumilab tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp files are newer than what they were installed from, so a second call installs nothing.
$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV). PyTorch is large: the first time takes a few minutes."
	$(BIN)/python -m pip install $(PIP_OPTIONS) -c constraints.txt -e .
	@touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV). PyTorch is large: the first time takes a few minutes."
	$(BIN)/python -m pip install $(PIP_OPTIONS) -c constraints.txt -e ".[dev]"
	@touch $@ $(VENV)/installed

$(BIN)/python:
	@test -n "$(PYTHON)" || { \
		echo "Lumilab needs Python 3.11, 3.12 or 3.13, and none of these is one: $(CANDIDATES)." >&2; \
		echo "Install one, or name one: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@"$(PYTHON)" -c '$(IN_RANGE)' || { \
		echo "$(PYTHON) cannot be used: lumilab needs Python 3.11, 3.12 or 3.13." >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "This Python has no venv module; installing python3-venv."; \
			apt-get update -qq && apt-get install -y -qq python3-venv; \
		else \
			echo "$(PYTHON) has no venv module. On Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; \
		fi; }
	@echo "Making $(VENV) with $(PYTHON)"
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	@# An older pip takes twice as long for what follows; without a network it is good enough.
	@$(BIN)/python -m pip install --disable-pip-version-check -q --upgrade pip 2>/dev/null || true
