# Everything runs in .venv, which `install` makes. Only make and Python 3.11 or 3.12 need to be there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
HARBOR_VENV := .venv-harbor
HARBOR_PYTHON ?= $(shell command -v python3.12 || command -v python3.13 || command -v python3)

.PHONY: install demo test test-harbor bench ui lint docs constraints clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("codex-loop needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	touch $(INSTALLED)

demo: install
	$(BIN)/python demo.py --use-fixtures --skip-openai --output demo_output

test: install
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

# Harbor needs Python 3.12 and lives in an environment of its own; the tests need a Docker engine.
$(HARBOR_VENV)/.installed: | install
	$(HARBOR_PYTHON) -m venv $(HARBOR_VENV)
	$(BIN)/uv pip install --quiet --python $(HARBOR_VENV)/bin/python harbor
	touch $@

test-harbor: install $(HARBOR_VENV)/.installed
	CODEX_LOOP_HARBOR=$(CURDIR)/$(HARBOR_VENV)/bin/harbor $(BIN)/python -m pytest -q -m harbor

bench: install
	$(BIN)/python -m codex_loop_assets_tests.bench

ui: install
	$(BIN)/codex-loop ui

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/dg check defs

docs: install
	$(BIN)/python -c "from codex_loop_assets.signals.rules.docs import markdown; print(markdown(), end='')" > docs/signals.md

# One file for Python 3.11 and later; it names versions only.
constraints: install
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --no-header --no-annotate --no-emit-index-url \
		--output-file constraints.txt pyproject.toml

clean:
	rm -rf $(VENV) $(HARBOR_VENV) demo_output
