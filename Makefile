# Needs make, a POSIX shell and Python 3.11 or newer. Everything is installed into .venv, nothing elsewhere.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SOURCES := $(shell find lstmcast -name '*.py')

# An editable installation (make test) serves the demo too; without one the demo installs as a user would.
INSTALLED := $(if $(wildcard .venv/.editable),.venv/.editable,.venv/.plain)

.DELETE_ON_ERROR:
.PHONY: help demo test lint faults fuzz fuzz-guided bench bench-gpu clean

help:
	@echo 'make demo    train, forecast, flag anomalies and draw a chart on the sample data, into demo/'
	@echo 'make test    lint, types and the quick tests'
	@echo 'make lint    ruff and mypy only'
	@echo 'make faults  kill and starve every verb at every change to the disk (some twenty minutes)'
	@echo 'make fuzz    throw many made-up files at the reader and at `run` (EXAMPLES=20000)'
	@echo 'make fuzz-guided  the reader, led by what of the code was reached (atheris; SECONDS=600)'
	@echo 'make bench   list the benchmarks; make bench DATA=folder runs them'
	@echo 'make bench-gpu  what each cell costs to train on a CUDA device'
	@echo 'make clean   remove .venv, demo/ and every cache'
	@echo
	@echo 'PYTHON=/path/to/python chooses the interpreter .venv is made with (3.11 or newer).'

demo: $(INSTALLED)
	$(BIN)/lstmcast train sample_data/shops_hourly.csv --target kwh -m demo/model
	$(BIN)/lstmcast predict -m demo/model -o demo/forecasts.csv
	$(BIN)/lstmcast detect-anomalies -m demo/model -o demo/anomalies.csv --events demo/events.csv
	$(BIN)/lstmcast plot demo/forecasts.csv -o demo/forecasts.html
	$(BIN)/lstmcast plot demo/anomalies.csv -o demo/anomalies.html
	@echo
	@echo 'Open demo/forecasts.html and demo/anomalies.html in a browser. Beside them lie their CSV files and the model.'

test: lint
	$(BIN)/python -m pytest -n 2 -m "not slow and not exhaustive and not gpu"

faults: .venv/.editable
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "fault or exhaustive"

lint: .venv/.editable
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

EXAMPLES ?= 20000
fuzz: .venv/.editable
	FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -q tests/test_reader_fuzz.py tests/faults/test_hostile_jobs.py

SECONDS ?= 600
fuzz-guided: .venv/.editable
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(PIP) -e '.[fuzz]' || { \
	  echo 'atheris has no wheel for this Python or system; it needs clang to be built.' >&2; exit 1; }
	$(BIN)/python tests/fuzz/reader.py -max_total_time=$(SECONDS)

bench: $(if $(DATA),$(INSTALLED))
	@set -- benchmarks/*.py; \
	if [ ! -e "$$1" ]; then echo 'There are no benchmarks in benchmarks/.'; exit 0; fi; \
	echo 'Benchmarks:'; printf '  %s\n' "$$@"; \
	if [ -z '$(DATA)' ]; then echo 'Run them with: make bench DATA=folder-with-the-datasets'; exit 0; fi; \
	for file in "$$@"; do echo "$(BIN)/python $$file --data $(DATA)"; $(BIN)/python "$$file" --data '$(DATA)' || exit 1; done

bench-gpu: .venv/.editable
	$(BIN)/python benchmarks/cells.py --device cuda

clean:
	rm -rf .venv demo dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v "$(PYTHON)" >/dev/null || { echo 'There is no "$(PYTHON)" here. Install Python 3.11 or newer,' \
	  'or name it: make PYTHON=/path/to/python' >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "lstmcast needs Python 3.11 or newer; $(PYTHON) is $$("$(PYTHON)" -V 2>&1)." \
	  'Name a newer one: make PYTHON=/path/to/python' >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo 'This Python cannot make virtual environments because its module ensurepip or venv is missing.' \
	  'On Debian and Ubuntu: sudo apt install python3-venv' >&2; exit 1; }
	@echo 'Making the virtual environment .venv'
	@"$(PYTHON)" -m venv --clear .venv || { rm -rf .venv; \
	  echo 'The virtual environment .venv could not be made; the reason is above.' >&2; exit 1; }

.venv/.plain: pyproject.toml constraints.txt $(SOURCES) | $(BIN)/python
	@echo 'Installing lstmcast into .venv (PyTorch is large: the first time takes some minutes)'
	@$(PIP) .
	@touch $@

.venv/.editable: pyproject.toml constraints.txt | $(BIN)/python
	@echo 'Installing lstmcast for development into .venv (PyTorch is large: the first time takes some minutes)'
	@$(PIP) -e '.[dev]'
	@rm -f .venv/.plain
	@touch $@
