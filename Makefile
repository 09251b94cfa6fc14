# The commands of CONTRIBUTING.md. Everything that needs more than Python goes through deploy/bootstrap.py, which
# sets the machine up and takes away again what it started.

PYTHON ?= python3
BOOTSTRAP := $(PYTHON) deploy/bootstrap.py
BIN := .venv/bin
COMPILE := uv pip compile --universal --generate-hashes --no-header --quiet

export ONCE CYCLES SEED WITHOUT AT MINUTES

.PHONY: demo test check fuzz bench chaos setup engine-stop lock clean

demo:           ## the main job, from nothing, on this machine; ONCE=1 ends by itself
	@$(BOOTSTRAP) run -- $(BIN)/python -m tests.demo

test:           ## everything, on real parts, two files at a time
	@$(BOOTSTRAP) registry
	@$(BOOTSTRAP) run -- $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
	@echo "test: all of it passed"

check:          ## format, lint, types, imports, unit tests: needs nothing running
	@$(BOOTSTRAP) environment
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/unit tests/hostile
	@$(BIN)/python -m tests.support.shape

fuzz:           ## generated Compose files, read by Compose and by us: for MINUTES, ten by default
	@$(BOOTSTRAP) environment
	$(BIN)/python -m tests.oracle.fuzz --minutes $(or $(MINUTES),10)

bench:          ## the figures, as ratios to a peer in the same run; FIGURES="builds stacks" runs some of them
	@$(BOOTSTRAP) run -- $(BIN)/python -m tests.bench $(FIGURES)

chaos:          ## hundreds of pull requests while everything that may die does; PARTS=storm CYCLES=50 SEED=7 WITHOUT=…
	@$(BOOTSTRAP) run -- $(BIN)/python -m tests.chaos $(PARTS)

setup:          ## the environment, a Docker Engine and the base image, to keep while developing
	@$(BOOTSTRAP) engine

engine-stop:    ## end the engine that `make setup` started
	@$(BOOTSTRAP) engine-stop

lock:           ## resolve pyproject.toml again
	$(COMPILE) pyproject.toml --extra embedded -o requirements.lock
	$(COMPILE) pyproject.toml --extra embedded --group dev -c requirements.lock -o requirements-dev.lock
	$(COMPILE) --group pyproject.toml:peer -o requirements-peer.lock

clean:          ## the environment and the caches, but no data
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
