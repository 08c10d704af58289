# Everything runs in .venv, which `install` makes. Only make and Python 3.11 or 3.12 need to be there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
HARBOR_VENV := .venv-harbor
# The first Python 3.12 or newer that really runs: a version manager's shim may be on PATH and answer nothing.
HARBOR_PYTHON ?= $(shell for python in python3.12 python3.13 python3.14 python3 $(wildcard $(HOME)/.pyenv/versions/3.1[2-9]*/bin/python); do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && echo "$$python" && break; done)

.PHONY: install demo test test-harbor bench ui lint docs constraints clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("codex-loop needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@# Compiled here once: where Python may not write bytecode, each process would compile all of it again.
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	touch $(INSTALLED)

demo: install
	$(BIN)/python demo.py --use-fixtures --skip-openai --output demo_output

test: install
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

# Harbor needs Python 3.12 and lives in an environment of its own; the tests need a Docker engine.
$(HARBOR_VENV)/.installed: | install
	@test -n "$(HARBOR_PYTHON)" || { echo "Harbor needs Python 3.12 or newer; name one with HARBOR_PYTHON=…"; exit 1; }
	$(HARBOR_PYTHON) -m venv $(HARBOR_VENV)
	$(BIN)/uv pip install --quiet --python $(HARBOR_VENV)/bin/python harbor
	touch $@

test-harbor: install $(HARBOR_VENV)/.installed
	CODEX_LOOP_HARBOR=$(CURDIR)/$(HARBOR_VENV)/bin/harbor $(BIN)/python -m pytest -q -m harbor

bench: install
	$(BIN)/python -m codex_loop_assets_tests.bench
	$(BIN)/python -m pytest -q -m slow

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
