# `make` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# uv installs all other packages; `make lock` writes its hashes to infra/requirements-uv.txt.
UV_VERSION := 0.13.9
UV := .uv/bin/uv
BIN := .venv/bin
DEMO := .demo
# A release is used when it is this old: time for a bad one to be withdrawn, and for mirrors to have it.
QUARANTINE := 14 days

# So that neither a user's settings nor an active environment changes where packages are installed.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME UV_PROJECT_ENVIRONMENT
export UV_NO_PROGRESS := 1

.PHONY: help setup demo test test-infra test-actions test-openapi test-container soak lint verify-sql bench lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Compiled here once: if Python may not write bytecode, each command would compile its imports, for seconds. The packages
# that are left out are a third of all source and never imported: dbt's adapter needs them only for models in Python.
COMPILE_BYTECODE = $(BIN)/python -m compileall -q -j 0 -x '/(aiplatform|aiplatform_v1|aiplatform_v1beta1|vertexai|tests)/' .venv/lib || true

setup: .venv/ready ## Make .venv; .venv/bin/trading-data is the command

# uv creates the environment, because it can fetch a Python if the machine has no 3.13. It is installed into a folder of
# its own, because a `uv` on the path may be missing, or a shim that refuses the version in .python-version. `cd /`
# prevents that file from choosing the python3 that installs uv.
$(UV): Makefile
	@root="$$PWD"; cd /; \
	command -v python3 >/dev/null || { echo "make: python3 is missing; install it (any version from 3.9 on, with pip)" >&2; exit 1; }; \
	python3 -m pip --version >/dev/null 2>&1 || { echo "make: python3 has no pip; install it (Debian: apt-get install python3-pip)" >&2; exit 1; }; \
	python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --upgrade --target "$$root/.uv" --require-hashes -r "$$root/infra/requirements-uv.txt" \
		|| { echo "make: uv $(UV_VERSION) could not be installed; is the package index in reach?" >&2; exit 1; }
	@touch $(UV)

.venv/ready: $(UV) .python-version pyproject.toml requirements-local.txt
	@$(UV) venv --quiet --clear --python "$$(cat .python-version)" .venv \
		|| { echo "make: no Python $$(cat .python-version) was found, and none could be fetched; install it and run make again" >&2; exit 1; }
	@echo "Installing the requirements ..."
	@$(UV) pip install --no-config --quiet --python $(BIN)/python --require-hashes -r requirements-local.txt
	@$(COMPILE_BYTECODE)
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@$(BIN)/python -c 'from infra.local.emulator import prepare_extensions; prepare_extensions()'
	@touch $@

# The further requirements of the tests and linters.
.venv/ready-dev: .venv/ready requirements-dev.txt
	@echo "Installing what the tests need ..."
	@$(UV) pip install --no-config --quiet --python $(BIN)/python --require-hashes -r requirements-dev.txt
	@$(COMPILE_BYTECODE)
	@touch $@

demo: setup ## See it work: the scheduled job against simulated providers, one of which fails
	@$(BIN)/python -m infra.local.demo $(DEMO)

test: .venv/ready-dev lint ## Everything that has to hold: lint, types, SQL, tests, builds
	@$(BIN)/pytest

# The tools that check infrastructure, workflows and secrets have an environment of their own; `make test` skips the
# checks whose tools are not installed, and says so.
.venv-infra/ready: $(UV) .python-version requirements-infra.txt
	@$(UV) venv --quiet --clear --python "$$(cat .python-version)" .venv-infra \
		|| { echo "make: no Python $$(cat .python-version) was found, and none could be fetched; install it and run make again" >&2; exit 1; }
	@echo "Installing what looks at the infrastructure ..."
	@$(UV) pip install --no-config --quiet --python .venv-infra/bin/python --require-hashes -r requirements-infra.txt
	@touch $@

test-infra: .venv/ready-dev .venv-infra/ready ## Terraform, workflows, secrets: with the tools that these checks need
	@$(BIN)/pytest tests/infra/test_terraform.py tests/infra/test_workflows.py tests/infra/test_security.py

soak: .venv/ready-dev ## Kills, pairs, leases, faults, short and damaged answers, bad files, hostile requests: in full, each also with a defence taken out (hours)
	@$(BIN)/python -c 'import sys; from infra.soak.exercises import main; sys.exit(main())'

test-openapi: .venv/ready-dev ## Ten minutes of requests that are generated from the API's description
	@OPENAPI_SECONDS=600 $(BIN)/pytest -n0 tests/reports/test_openapi.py -k generated

test-actions: .venv/ready-dev ## Twenty seeds of corporate actions, built in steps and at once (quarter of an hour)
	@ACTION_SEEDS=20 $(BIN)/pytest tests/extract/test_action_histories.py

test-container: .venv/ready-dev .venv-infra/ready ## Build the job's image of Debian's packages and look into it (root, Debian's buildah; minutes)
	@TEST_CONTAINER=1 $(BIN)/pytest -n0 tests/infra/test_container.py

lint: .venv/ready-dev ## sqlfluff on every model, ruff, mypy --strict, which package imports which
	@# Its processes leave a semaphore behind, of which Python warns.
	@PYTHONWARNINGS=ignore:resource_tracker:UserWarning $(BIN)/sqlfluff lint --processes 0 --disable-progress-bar models macros tests
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

verify-sql: .venv/ready-dev ## Let Google's own analyzer read every statement that dbt sends
	@$(BIN)/pytest tests/sql

bench: .venv/ready-dev ## Measure ours and what a user would pick instead, at full size, as ratios within a round
	@$(BIN)/python -m infra.bench

COMPILE = $(UV) pip compile --quiet --python-version "$$(cat .python-version)" --generate-hashes --no-header --no-annotate $(UPGRADE) \
	--exclude-newer "$(QUARANTINE)"

lock: UPGRADE := --upgrade
lock: $(UV) ## Pin the requirements anew, with hashes; with UPGRADE= only what pyproject.toml adds
	@$(COMPILE) --extra local --group dev pyproject.toml -o requirements-dev.txt
	@$(COMPILE) -c requirements-dev.txt --extra local --group build pyproject.toml -o requirements-local.txt
	@$(COMPILE) -c requirements-dev.txt pyproject.toml -o requirements.txt
	@$(COMPILE) --group infra -o requirements-infra.txt
	@echo "uv==$(UV_VERSION)" | $(COMPILE) - -o infra/requirements-uv.txt
	@for peer in dlt notebook sqlmesh; do $(COMPILE) --group "bench-$$peer" -o "infra/bench/requirements-$$peer.txt"; done

clean: ## Remove everything that the targets made
	@rm -rf .venv .venv-infra .uv .demo .bench .warehouse .warehouse-archive target logs .mypy_cache .pytest_cache .ruff_cache .hypothesis
