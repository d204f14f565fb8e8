# Everything that people and CI run. Each target sets up what it needs from the registries and says what is missing.
#
#   make demo    the whole main job on real data: define, replay, serve, train, check
#   make doors   every operation at every door, tried with clients that others wrote: a table
#   make test    format, lints, Rust tests, Python tests
#   make proof   tries to break every promise, a few minutes a kind; KIND="kill power", SEED=7, BUDGET=60 (seconds a kind)
#   make proof-long   the same for hours
#   make plants  whether the kinds of proof find bugs that are planted, of what is committed
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
# One target folder for every build, outside the clone, so that a second clone starts warm. It is never needed.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/thalweg/target
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_DIR ?= .thalweg/demo

.PHONY: help prerequisites venv-test venv-demo develop release test test-rust test-python lint demo doors proof \
	proof-long proof-builds plants fuzz clean

help:
	@sed -n 's/^#   //p' Makefile

prerequisites:
	@scripts/prerequisites $(PYTHON)

$(BIN)/python: | prerequisites
	@echo "== Python environment in $(VENV)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip "maturin>=1.9,<2"

$(VENV)/.test: pyproject.toml | $(BIN)/python
	@echo "== Python packages for the tests"
	scripts/install-extra $(BIN)/python test demo doors
	@touch $@

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	@echo "== Python packages for the demo"
	scripts/install-extra $(BIN)/python demo
	@touch $@

# The native module, built with the flags of the tests: the dependencies are compiled once for both.
develop: $(VENV)/.test
	@echo "== native module (development build)"
	source $(BIN)/activate && maturin develop --quiet --profile dev

# The native module and the command, optimized: what the demo and the benches run.
release: $(VENV)/.demo
	@echo "== native module (optimized build; the first one compiles DataFusion, which takes a while)"
	source $(BIN)/activate && maturin develop --release

lint: $(VENV)/.test
	@echo "== format and lints"
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	source $(BIN)/activate && mypy

test-rust: | prerequisites
	@echo "== Rust tests"
	cargo test --workspace --exclude thalweg-python --locked

# A door whose client is missing is left out of the tests, and said to be; `make doors` fails for it.
test-python: develop
	@echo "== clients of the doors"
	-source $(BIN)/activate && scripts/door-clients python
	@echo "== Python tests"
	source $(BIN)/activate && python -m pytest

test: lint test-rust test-python

demo: release
	source $(BIN)/activate && python examples/flights/demo.py --work $(DEMO_DIR)

# What the kinds of proof run, built before their time begins.
proof-builds: $(VENV)/.test release
	cargo build --release --locked -p thalweg-simulation $(if $(filter Linux,$(shell uname)),-p thalweg-lossy)
	$(if $(or $(if $(KIND),,all),$(filter fuzz,$(KIND))),source $(BIN)/activate && scripts/fuzz --build-only)

proof: proof-builds
	source $(BIN)/activate && python -m proof $(KIND) $(if $(SEED),--seed $(SEED)) $(if $(BUDGET),--seconds $(BUDGET)) \
		$(PROOF_FLAGS)

proof-long: PROOF_FLAGS = --long
proof-long: proof

plants: $(VENV)/.test
	source $(BIN)/activate && python -m proof.plants

fuzz: $(VENV)/.test
	source $(BIN)/activate && scripts/fuzz --seconds 60

# The clients that are no Python packages come from scripts/door-clients, which says how to get what is missing.
doors: develop
	@echo "== clients of the doors"
	source $(BIN)/activate && scripts/door-clients python
	@echo "== every operation at every door"
	source $(BIN)/activate && PYTHONPATH=tests python -m doors

clean:
	rm -rf $(VENV) $(DEMO_DIR)
