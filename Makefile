# photofeed: everything from a fresh clone. Needs Python 3.11, Java 17, Maven and make; never root.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3.11
BIN := .venv/bin
UV := uv==0.13.9
PACKAGES := schemas topics domain stores streams api ops
# Named by the lock's content: a warm start looks at one file.
INSTALLED := .venv/.installed-$(shell sha256sum requirements.lock | cut -c1-16)
TEST_STACK := PHOTOFEED_RUN_DIR=.run-test PHOTOFEED_PORT_OFFSET=1000 \
	PHOTOFEED_WEBHOOKS__ALLOW_LOOPBACK_HTTP=true

.PHONY: help demo test up down status lint docs bench soak fuzz lock clean

help: ## show this
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(INSTALLED) ## install everything, start the stack, run the main job on real photos
	@$(BIN)/photofeed demo

up: $(INSTALLED) ## start the stack
	@$(BIN)/photofeed up

down: ## stop it without loss
	@if [ -x $(BIN)/photofeed ]; then $(BIN)/photofeed down; fi

status: $(INSTALLED) ## what runs, on which port, ready or not
	@$(BIN)/photofeed status

test: $(INSTALLED) ## all tests on a stack of their own, beside one that may be running (ARGS=…)
	@export $(TEST_STACK); \
	$(BIN)/photofeed down >/dev/null; rm -rf .run-test; \
	trap '$(BIN)/photofeed down >/dev/null' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM; \
	$(BIN)/photofeed up; \
	$(BIN)/python -m pytest $(ARGS)

lint: $(INSTALLED) ## ruff, mypy strict, import contracts, the docs' own checks
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m mypy $(PACKAGES) tests $(if $(wildcard bench/*.py),bench)
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -q tests/test_topology.py tests/test_docs.py tests/test_suppressions.py

docs: $(INSTALLED) ## draw the README's picture and docs/asyncapi.json again
	@$(BIN)/python -m ops.topology_picture
	@$(BIN)/python -m ops.event_docs

bench: $(INSTALLED) ## the benchmarks, as ratios measured in one run
	@$(BIN)/python -m bench.tools.run_all

soak: ## the life of feeds against its oracle for ten minutes (SECONDS=…)
	@FEED_MODEL_SECONDS=$$(($(or $(SECONDS),600) / 4)) $(MAKE) test ARGS=tests/invariants/test_feed_model.py

fuzz: $(INSTALLED) ## fuzz the image decoder for a minute (SECONDS=…)
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r tests/fuzz.lock
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.fuzz_decoder -max_total_time=$(or $(SECONDS),60)

lock: $(INSTALLED) ## pin requirements.in again, with hashes
	@$(BIN)/pip install -q $(UV)
	@$(BIN)/uv pip compile -q --generate-hashes --python-version 3.11 requirements.in -o requirements.lock

clean: down ## stop the stack and remove its data, the virtual environment and caches
	@rm -rf .run .run-test .run-bench .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The project itself is put on the path by a .pth file: it works from any folder and new packages
# are found at once. The command finds its own Python, so no path is written into it.
$(INSTALLED): requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is missing: apt-get install python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv is missing: apt-get install python3.11-venv" >&2; exit 1; }
	@[ -x $(BIN)/pip ] || $(PYTHON) -m venv .venv
	@echo "installing Python packages"
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@pwd > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/photofeed.pth"
	@printf '%s\n' '#!/bin/sh' 'exec "$${0%/*}/python" -m ops "$$@"' > $(BIN)/photofeed
	@chmod +x $(BIN)/photofeed
	@rm -f .venv/.installed-*; touch $@
