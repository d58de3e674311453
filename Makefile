# make demo   set up .venv, then run the whole story into demo_output/
# make test   set up .venv, then check and test everything
# make lint   ruff and mypy        make bench   speed and memory, each with its own baseline

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3 python,$(if $(shell command -v $(name)),$(name))))
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/ready
READY_DEV := $(VENV)/ready-dev
INSTALL = $(RUN) -m pip install --disable-pip-version-check -q -c constraints.txt

.PHONY: demo test lint bench clean
.DEFAULT_GOAL := demo

demo: $(READY)
	$(RUN) run_pipeline.py demo --out demo_output

test: lint
	$(RUN) -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(READY_DEV)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

bench: $(READY_DEV)
	$(RUN) -m benchmarks.extraction
	$(RUN) -m benchmarks.augmentation
	$(RUN) -m benchmarks.iris
	$(RUN) -m benchmarks.review
	$(RUN) -m benchmarks.htnet

$(READY): requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' || \
	  { echo "Python 3.11 or 3.12 is needed: install it, or name it with make PYTHON=..."; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	$(INSTALL) -r requirements.txt
	@touch $(READY)

$(READY_DEV): $(READY) requirements-dev.txt requirements-cluster.txt
	$(INSTALL) -r requirements-dev.txt
	@touch $(READY_DEV)

clean:
	rm -rf $(VENV) demo_output bench_output
