# `make help` lists what there is.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
TORCH  := $(VENV)/.torch

.PHONY: help setup torch lock lint types unit model integration chaos chaos-short soak soak-short slow trouble bench bench-embedding bench-latency bench-memory bench-reconcile test test-embedding test-milvus test-docker test-browser demo up down clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 18

setup: $(READY) ## create .venv with everything pinned in requirements-dev.lock

$(READY): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Aegis needs Python 3.11 or newer. Next: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps --requirement requirements-uv.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements-dev.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
	@test ! -e $(TORCH) || $(MAKE) --no-print-directory torch

torch: $(READY) ## add sentence-transformers (1 GB from PyTorch's CPU index, else 4.6 GB)
	@sed -E '/^ +--hash/d; s/ *\\$$//' requirements-torch.lock > $(VENV)/torch.pins
	@VIRTUAL_ENV=$(VENV) UV_HTTP_TIMEOUT=15 UV_HTTP_RETRIES=0 $(BIN)/uv pip install --torch-backend=cpu \
	    --constraints $(VENV)/torch.pins sentence-transformers 2> $(VENV)/torch.log \
	  || { echo "PyTorch's CPU index did not serve (see $(VENV)/torch.log): the default index has the build with CUDA"; \
	    VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --require-hashes --no-deps --requirement requirements-torch.lock; }
	@touch $(TORCH)

lock: $(READY) ## resolve pyproject.toml anew into the lock files (hashes, no addresses)
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade --extra dev pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade --extra torch --constraints requirements-dev.lock pyproject.toml -o requirements-torch.lock
	awk '/^uv==/{p=1;print;next} p&&/^[a-z]/{exit} p' requirements-dev.lock > requirements-uv.lock

lint: $(READY) ## ruff: style and common mistakes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY) ## mypy --strict
	$(BIN)/mypy

unit: $(READY) ## tests without servers (seconds)
	$(BIN)/pytest -q -n 2 tests/unit tests/model tests/protocol

model: $(READY) ## many more worlds of the model than `make unit` tries
	AEGIS_MODEL_WALKS=5000 $(BIN)/pytest -q tests/model tests/protocol

integration: up ## tests on the running local stack
	$(BIN)/pytest -q -n 2 tests/database
	$(BIN)/pytest -q tests/integration

slow: up ## the longest integration tests: replays of letters, moving to another model (5 minutes)
	$(BIN)/pytest -q tests/slow

trouble: $(READY) ## every store refused, hung, crowded, read-only, out of memory or disk: on servers of its own (10 minutes)
	$(BIN)/pytest -q tests/trouble

test-milvus: $(READY) ## the vector store's tests on a real Milvus 2.3.5 (58 MB, once)
	@$(BIN)/aegis stack up milvus_server
	@AEGIS_TEST_MILVUS=milvus_server \
	  MILVUS_URI=$$($(BIN)/python -c 'from ops.stack.layout import load_layout as of; print(of().url("milvus_server"))') \
	  $(BIN)/pytest -q tests/integration/test_milvus_*.py tests/trouble/test_milvus*.py; status=$$?; \
	  $(BIN)/aegis stack down milvus_server; exit $$status

test-embedding: torch ## the embedding engines give one vector (needs torch)
	$(BIN)/pytest -q tests/embedding

test-browser: $(READY) ## the reconciler's page in a headless Chromium (its package and fonts-noto-cjk must be installed)
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes --no-deps --requirement requirements-browser.lock
	$(BIN)/pytest -q tests/browser

test-docker: $(READY) ## the integration tests on containers of compose.yaml instead
	AEGIS_TEST_STACK=docker $(BIN)/pytest tests/database tests/integration

chaos: up ## servers killed, frozen, restarted; processors come and die; snapshots under load (10 minutes)
	$(BIN)/pytest -q tests/chaos

chaos-short: up ## the shortest of them (2 minutes)
	$(BIN)/pytest -q tests/chaos -m short

soak: up ## aegis reconcile check under traffic and kills: no false alarm; then every planted fault (6 minutes; AEGIS_SOAK_SECONDS)
	$(BIN)/pytest -q tests/soak

soak-short: up ## its second half: planted faults are found and healed under light traffic (2 minutes)
	$(BIN)/pytest -q tests/soak -m short

bench: up ## speed as ratios in one run (docs/performance.md)
	$(BIN)/python -m bench.catch_up

bench-embedding: up ## changed texts beside the bare engine (and beside sentence-transformers, after make torch)
	$(BIN)/python -m bench.embedding

bench-latency: up ## 20 single changes a second: commit -> visible, by store
	$(BIN)/python -m bench.latency

bench-memory: up ## the processor's memory over 200,000 changes, some of a megabyte (20 minutes)
	$(BIN)/python -m bench.memory

bench-reconcile: up ## what reconciling costs: the source, merging, memory, scans of the stores (20 minutes)
	$(BIN)/python -m bench.reconcile

test: lint types unit integration ## what CI runs, but for demo and soak-short

demo: $(READY) ## start the servers and watch a row travel from PostgreSQL into the stores
	@$(BIN)/aegis demo

up: $(READY) ## start the local servers
	@$(BIN)/aegis stack up

down: ## stop them
	@test ! -x $(BIN)/aegis || $(BIN)/aegis stack down

clean: down ## remove .venv and caches (data of the servers: aegis stack reset)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
