# Every command of the project. `make` alone lists them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test test-long check lint format kafka docs fault-matrix fuzz fuzz-http fuzz-input page-trials tamper-matrix test-faults train-tagger bench soak golden-release lock clean

help:  ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16
	@echo; echo "Measurements: a Markdown table, and the figures as build/NAME.json"
	@for file in benchmarks/bench_*.py benchmarks/eval_*.py; do \
		name=$$(basename $$file .py | tr _ -); \
		sed -nE "1s/^\"\"\"(.*)\"\"\"$$/$$name\t\1/p" $$file; done | expand -t 16

$(VENV)/.base:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: set PYTHON=/path/to/python3" >&2; exit 2; }
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.setup: $(VENV)/.base requirements.lock pyproject.toml
	@echo "Installing auditfuse's pinned dependencies into $(VENV) (300 MB to download, 920 MB on disk; one to three minutes) ..."
	@$(PIP) -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . 
	@touch $@

$(VENV)/.setup-dev: $(VENV)/.setup requirements-dev.lock clients/python/pyproject.toml
	@echo "Installing the pinned development tools into $(VENV) ..."
	@$(PIP) -r requirements-dev.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable clients/python
	@touch $@

$(VENV)/.setup-train: $(VENV)/.setup-dev requirements-train.lock
	@echo "Installing the pinned training library into $(VENV) (100 MB to download) ..."
	@$(PIP) -r requirements-train.lock
	@touch $@

setup: $(VENV)/.setup  ## Create .venv with the pinned dependencies

setup-dev: $(VENV)/.setup-dev  ## The same, with the tools for tests and checks

demo: setup  ## The main job in under a minute, told as a story
	@$(BIN)/auditfuse demo

test: setup-dev  ## Every test, those on a real Kafka broker included
	@$(BIN)/pytest --numprocesses logical --dist loadfile --no-loadscope-reorder

test-long: setup-dev  ## The same in their long forms: more seeds, more kills, more cases (half an hour on two cores)
	@AUDITFUSE_LONG=1 $(BIN)/pytest --numprocesses logical --dist loadfile --no-loadscope-reorder

lint: setup-dev  ## Format, lint, types and import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports

format: setup-dev  ## Put the code into the project's format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

check: lint test  ## Everything that must be green before a commit

kafka: setup-dev  ## A real Apache Kafka on loopback (Docker, else Java 17 and Maven)
	@$(BIN)/python scripts/kafka/broker.py

docs: setup-dev  ## Write the generated documentation: command line, configuration, schemas, topics
	@$(BIN)/python scripts/docs

fault-matrix: setup-dev  ## Every fault at every call that writes the store, as a table
	@PYTHONPATH=tests $(BIN)/python -m support.fault_table

fuzz: setup-dev  ## Redaction against stock Presidio on made-up texts: SECONDS=600, COUNT=100000, NAMES=1
	@PYTHONPATH=tests $(BIN)/python -m support.stock_fuzz $(if $(SECONDS),--seconds $(SECONDS)) $(if $(COUNT),--count $(COUNT)) $(if $(SEED),--seed $(SEED)) $(if $(NAMES),--names)

fuzz-http: setup-dev  ## Every HTTP endpoint against its OpenAPI document: EXAMPLES=500
	@AUDITFUSE_FUZZ_EXAMPLES=$(or $(EXAMPLES),500) $(BIN)/python -m pytest -q tests/killswitch/test_openapi.py

fuzz-input: setup-dev  ## Mutated messages and requests through the whole way in: COUNT=1000000, SEED=1
	@PYTHONPATH=tests $(BIN)/python -m support.fuzz_input $(if $(COUNT),--count $(COUNT)) $(if $(SEED),--seed $(SEED))

test-faults: setup-dev  ## Process, broker and network faults on a Kafka cluster, half an hour: MINUTES=30, SEED=1
	@PYTHONPATH=tests $(BIN)/python -m support.fault_run $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(if $(NEWER),--newer $(NEWER))

page-trials: setup-dev  ## Paging under stress: 10,000 findings in a minute, targets down for an hour, 200 kills
	@PYTHONPATH=tests $(BIN)/python -m support.page_trials storm
	@PYTHONPATH=tests $(BIN)/python -m support.page_trials outage
	@PYTHONPATH=tests $(BIN)/python -m support.page_trials kills

tamper-matrix: setup-dev  ## Every known attack on the store and the verdicts that show it, as a table
	@PYTHONPATH=tests $(BIN)/python -m support.tamper_matrix

train-tagger: $(VENV)/.setup-train  ## The model of names anew: corpus, training, figures (15 minutes on two cores)
	@$(BIN)/python -m training.corpus --out build/corpus --seed 0
	@$(BIN)/python -m training.tagger --corpus build/corpus --seed 0

bench: setup-dev  ## The whole system measured, beside a plain script and other tools: ROUNDS=5, RIVALS=1
	@$(BIN)/python -m benchmarks.bench $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(RIVALS),--rivals)

soak: setup-dev  ## Two hours at half rate, and whether anything grows: HOURS=2
	@$(BIN)/python -m benchmarks.soak $(if $(HOURS),--hours $(HOURS))

bench-% eval-%: setup-dev
	@$(BIN)/python -m benchmarks.$(subst -,_,$@)

golden-release: setup-dev  ## What a release stores, for the tests of upgrades: VERSION=0.1.0, once for each release
	@test -n "$(VERSION)" || { echo "say which: make golden-release VERSION=0.1.0" >&2; exit 2; }
	@cd tests && PYTHONPATH=.:.. ../$(BIN)/python -m support.release upgrades/golden/$(VERSION)

lock:  ## Make the lock files anew from pyproject.toml (needs uv)
	uv pip compile --quiet --python-version 3.11 --generate-hashes --no-annotate --no-header --extra build --extra postgres --extra s3 pyproject.toml -o requirements.lock
	uv pip compile --quiet --python-version 3.11 --generate-hashes --no-annotate --no-header --extra build --extra dev --extra broker-fallback pyproject.toml -o requirements-dev.lock
	uv pip compile --quiet --python-version 3.11 --generate-hashes --no-annotate --no-header --extra build --extra train --constraint requirements-dev.lock pyproject.toml -o requirements-train.lock

clean:  ## Remove what the commands made, but not .venv
	rm -rf build .pytest_cache .ruff_cache .hypothesis auditfuse-demo
