# Everything a developer needs. All paths are relative, so that a checkout path with spaces works.

SHELL := /bin/sh
.DEFAULT_GOAL := help
BIN := .venv/bin

# Tried in this order; the first that runs and is 3.11 or newer makes the virtual environment.
PYTHONS := python3.13 python3.12 python3.11 python3
IS_NEW_ENOUGH := import sys; assert sys.version_info >= (3, 11)
UV ?= uv
COMPILE := pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --custom-compile-command 'make lock'
# More than cores: many tests wait for processes that start or die.
PYTEST_WORKERS ?= 5
# The fault tests mostly wait: four of them keep two cores busy.
FAULT_WORKERS ?= 4

.PHONY: help
help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: .venv/installed ## Make .venv with everything in it; again only when pyproject.toml or the lock file changed

.venv/created:
	@if ! $(BIN)/python -c '$(IS_NEW_ENOUGH); import pip' 2>/dev/null; then \
	  for candidate in $(PYTHONS); do \
	    if $$candidate -c '$(IS_NEW_ENOUGH)' 2>/dev/null; then python=$$candidate; break; fi; \
	  done; \
	  if [ -z "$$python" ]; then \
	    echo "No Python 3.11 or newer was found (tried: $(PYTHONS)): install one and run make again." >&2; exit 1; \
	  fi; \
	  echo "Making .venv with $$python"; \
	  $$python -m venv --clear .venv || { \
	    rm -rf .venv; \
	    echo "$$python cannot make a virtual environment: on Debian and Ubuntu install the package python3-venv." >&2; exit 1; \
	  }; \
	fi
	@touch $@

.venv/locked: .venv/created requirements.lock
	@echo "Installing what requirements.lock lists"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r requirements.lock || { \
	  echo "The packages could not be installed: see pip's message above; without a network, set pip up with a mirror or a folder of wheels." >&2; exit 1; \
	}
	@touch $@

.venv/installed: .venv/locked pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --no-build-isolation --editable . || { \
	  echo "The project itself could not be installed: see pip's message above." >&2; exit 1; \
	}
	@touch $@

.PHONY: demo
demo: .venv/installed ## Extract a menu picture from start to end, on servers of its own, and show it live
	@$(BIN)/jobqueue demo

.PHONY: up
up: .venv/installed ## Keep the whole stack running for development; Ctrl-C stops it
	@$(BIN)/jobqueue up

.PHONY: test
test: .venv/installed ## Run the whole test suite
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist worksteal

.PHONY: test-faults
test-faults: .venv/installed ## Kill, restart, flush and cut off everything, and show that nothing is lost
	$(BIN)/python -m pytest -q -n $(FAULT_WORKERS) --maxschedchunk=1 tests/faults

.PHONY: soak
soak: .venv/installed ## Random faults for some minutes; OPTIONS="--jobs 4000 --faults 100 --seed 1"
	$(BIN)/python -m tests.faults.soak $(OPTIONS)

.PHONY: ablation
ablation: .venv/installed ## The fault tests without one protecting mechanism at a time, which must fail
	$(BIN)/python -m tests.faults.ablation $(OPTIONS)

.PHONY: check
check: .venv/installed ## Lint, formatting, types, import directions, and whether the lock files are current
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python -m mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/unit/test_lock_files.py

.PHONY: bench
bench: .venv/installed ## Measure the queue beside plain Celery
	$(BIN)/python -m benchmarks.queue

.PHONY: lock
lock: ## Bring the lock files up to date with pyproject.toml; needs uv and a network
	@command -v $(UV) >/dev/null || { echo "uv was not found: install it, or name it with make lock UV=path." >&2; exit 1; }
	$(UV) $(COMPILE) --output-file requirements.lock --all-extras pyproject.toml
	echo hatchling | $(UV) $(COMPILE) --output-file requirements-image.lock --constraints requirements.lock \
	  --extra worker --extra ocr --extra llm pyproject.toml -

.PHONY: clean
clean: ## Remove the environment, caches and build output; data of make up stays
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
