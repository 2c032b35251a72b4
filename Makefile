# make run | test | test-all | test-ci | coverage | check | deps | lock; each makes .venv first, or brings it up to date.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := pytest -n auto --dist loadfile --no-loadscope-reorder
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: run test test-all test-ci coverage check deps lock
run: $(VENV)/.installed
	dvc repro

test: $(VENV)/.installed
	$(PYTEST) -m 'not long and not soak'

test-all: $(VENV)/.installed
	$(PYTEST)

test-ci: $(VENV)/.installed
	$(PYTEST) -m 'not soak'

# Lines and branches that TESTS reach, in every process that they start: make coverage TESTS='not long and not soak'
TESTS ?= not soak
coverage: $(VENV)/.installed
	$(PYTEST) -m '$(TESTS)' --cov --cov-report=term:skip-covered

check: $(VENV)/.installed
	ruff check .
	ruff format --check .
	mypy

# What is written by a program: the code that each stage is made of, into dvc.yaml; the table of metrics, into docs/metrics.md.
deps: $(VENV)/.installed
	$(BIN)/python -m tests.stage_code
	$(BIN)/python -m tests.metrics_table

# The newest versions that pyproject.toml allows, for every platform, with hashes, without addresses.
lock: $(VENV)/.installed
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra onnx --extra dask --extra pipeline --extra imagenet --extra dicom --extra s3 --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --upgrade -o requirements.lock

# install.py brings its own uv.
$(VENV)/.installed: requirements.lock pyproject.toml install.py
	$(PYTHON) install.py
