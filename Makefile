# Needs Python 3.11 or newer, make, and reach to a Python package index. Everything else comes with `make`.

PYTHON ?= python3
WORKERS ?= 2
TESTS ?= tests
OUT ?= var/bench.json
export OUT QUICK

VENV := .venv
BIN := $(VENV)/bin
PINS := requirements/runtime.txt requirements/local.txt requirements/reports.txt requirements/dev.txt
# A new stamp, and so a new installation, whenever a pin changes.
STAMP := $(VENV)/installed-$(shell cat $(PINS) | cksum | cut -d ' ' -f 1)
is_set = $(filter-out 0 no false,$(1))

.DEFAULT_GOAL := help
.PHONY: help setup demo run test soak mutants bench lint format docs pins clean

help: ## Show this list
	@echo "make <target>, with these targets:"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv and install what requirements/*.txt pins (the others do this by themselves)

$(STAMP): $(PINS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@echo "Setting up $(VENV), once; this takes about a minute."
	@$(PYTHON) -m venv $(VENV) || { echo "On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes $(addprefix -r ,$(PINS))
	@rm -f $(VENV)/installed-*
	@touch $@

demo: $(STAMP) ## Start afresh, follow one patient from referral to refill, stay up (ONCE=1: end; PROGRAMME=life_works: its own story)
	@$(BIN)/python -m coordinator.local $(if $(PORT),--port $(PORT)) demo $(if $(call is_set,$(ONCE)),--once) \
		$(if $(PROGRAMME),--programme $(PROGRAMME))

run: $(STAMP) ## Start the service on this machine and stay up; data stays in var/run (PORT=)
	@$(BIN)/python -m coordinator.local $(if $(PORT),--port $(PORT)) run

test: $(STAMP) ## Run the tests (TESTS=tests/unit, WORKERS=2, PYTEST='-k name')
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST) $(TESTS)

soak: $(STAMP) ## Walk through episodes by chance and check what must hold (MINUTES=10 or STEPS=; SEED=: one walk again)
	@$(BIN)/python -m tests.machine $(if $(MINUTES),--minutes $(MINUTES)) $(if $(STEPS),--steps $(STEPS)) $(if $(SEED),--seed $(SEED))

mutants: $(STAMP) ## Change every rule in every small way; fails where no test notices (ONLY=services/refills, SHOW=1, AGAIN=1)
	@$(BIN)/python -m tests.mutation $(ONLY) $(if $(call is_set,$(SHOW)),--show) $(if $(call is_set,$(AGAIN)),--again)

bench: $(STAMP) ## Measure speed and memory (OUT=var/bench.json, QUICK=1: two minutes)
	@mkdir -p $(dir $(OUT))
	@$(BIN)/python -m tests.bench

lint: $(STAMP) ## Check style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(STAMP) ## Put the code into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(STAMP) ## Write the generated documents in docs/ from the code
	@$(BIN)/python -m coordinator.local.documents

pins: ## Choose versions anew within requirements/*.in and pin them with hashes (UPGRADE=1: newest that fit)
	@$(PYTHON) -m venv var/pins
	@var/pins/bin/python -m pip install --quiet --disable-pip-version-check uv
	@for name in runtime local reports dev; do \
		var/pins/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
			--no-header --no-annotate $(if $(call is_set,$(UPGRADE)),--upgrade) \
			requirements/$$name.in --output-file requirements/$$name.txt || exit 1; \
	done

clean: ## Remove .venv and var with all local data
	@rm -rf $(VENV) var
