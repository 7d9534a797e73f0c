# make book [SCALE=smoke|laptop|paper]   environment, notebooks at that scale, book in _build/SCALE/html
# make html                              the published book, from the notebooks as committed, in _build/html
# make test                              lint, types and all tests, those of speed alone on the machine
# Each sets up what it needs in .venv, and can be interrupted and repeated.

SCALE ?= smoke
PYTHON ?= python3
CORES ?= $(shell $(PYTHON) -c "import os; print(os.cpu_count())")
VENV := .venv
READY := $(VENV)/ready
RUN := $(VENV)/bin/python -m

.PHONY: book html test
.DEFAULT_GOAL := book

book: $(READY)
	$(RUN) snakemake --cores $(CORES) book --config scale=$(SCALE)
	@$(RUN) memlib.store size
	@echo "of these, python -m memlib.book prune $(SCALE) takes away what is this scale's alone"
	@echo "open $(CURDIR)/_build/$(SCALE)/html/index.html"

html: $(READY)
	$(VENV)/bin/jupyter-book build -W -n --keep-going --all .
	@echo "open $(CURDIR)/_build/html/index.html"

test: $(READY)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) pytest tests/benchmarks
	$(RUN) pytest -n $(CORES) --dist loadfile --ignore tests/benchmarks

# The stamp comes last: without it the environment is half made, and is made anew (from pip's cache).
$(READY): pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'memlib needs Python 3.11 or newer: make PYTHON=python3.12')"
	@test -e $@ || { echo "setting up $(VENV): a few minutes, several GB with a GPU build of torch"; $(PYTHON) -m venv --clear $(VENV); }
	@rm -f $@
	$(RUN) pip install --disable-pip-version-check --editable ".[book,test]"
	@touch $@
