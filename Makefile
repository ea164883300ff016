# The habits of this project, one short command each. CI runs `make test`.

STATE ?= .cache/state
BIN := .venv/bin
TOGETHER ?= -n auto --maxprocesses 4 --dist loadfile

.PHONY: help setup setup-dev run test check lint types layers quick unit integration format bench clean

help: ## show these lines
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: setup ## install if needed, fetch the default model if needed, serve on http://127.0.0.1:8420
	@$(BIN)/mongarsd --state-dir $(STATE)

setup: .venv/.runtime ## only install

setup-dev: .venv/.dev

.venv/.runtime: pyproject.toml scripts/setup.sh scripts/build_llama.sh scripts/only_llama.cmake
	@scripts/setup.sh
	@touch $@

.venv/.dev: .venv/.runtime
	@scripts/setup.sh dev
	@touch $@

test: lint types layers unit integration ## everything CI runs

check: lint types layers quick ## the ordinary loop, about two minutes; `make check TOGETHER=` runs one test at a time

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup-dev
	$(BIN)/mypy

layers: setup-dev
	$(BIN)/lint-imports

quick: setup-dev
	$(BIN)/pytest --ignore tests/integration -m "not integration and not slow" $(TOGETHER)

unit: setup-dev
	$(BIN)/pytest --ignore tests/integration -m "not integration" $(TOGETHER)

integration: setup-dev
	$(BIN)/pytest -m integration

format: setup-dev ## put the code into its usual shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup-dev ## compare with llama-server (builds it the first time); see benchmarks/README.md
	$(BIN)/python -m benchmarks

clean: ## forget what was installed and built here; models, conversations and keys stay in .cache/state
	rm -rf .venv build dist *.egg-info
	[ ! -d .cache ] || find .cache -mindepth 1 -maxdepth 1 ! -name state -exec rm -rf {} +
