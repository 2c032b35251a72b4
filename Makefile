# make run | test | test-all | test-ci | check | deps | lock; each makes .venv first if requirements.lock is newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := pytest -n auto --dist loadfile --no-loadscope-reorder
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: run test test-all test-ci check deps lock
run: $(VENV)/.installed
	dvc repro

test: $(VENV)/.installed
	$(PYTEST) -m 'not long'

test-all: $(VENV)/.installed
	$(PYTEST)

test-ci: $(VENV)/.installed
	$(PYTEST) -m 'not soak'

check: $(VENV)/.installed
	ruff check .
	ruff format --check .
	mypy

# The code that each stage is made of, into dvc.yaml.
deps: $(VENV)/.installed
	$(BIN)/python -m tests.stage_code

# The newest versions that pyproject.toml allows, for every platform, with hashes, without addresses.
lock:
	uv pip compile pyproject.toml --extra dev --extra onnx --extra dask --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --upgrade -o requirements.lock

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(not (3, 11) <= v < (3, 14) and f"Python 3.11-3.13 is needed, this is {v.major}.{v.minor}: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	if command -v uv >/dev/null; then \
	  uv pip sync --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock && \
	  uv pip install --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	else \
	  $(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock && \
	  $(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	fi
	touch $@
