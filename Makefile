# One idea: `make <target>` works as the first command after a clone. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

# Python's bytecode is kept: without it each of the many short processes compiles what it imports.
unexport PYTHONDONTWRITEBYTECODE

PY := .venv/bin/python
READY := .venv/.ready
TOOLS := .venv/.tools
# Everything that changes what is installed or built.
SOURCES := pyproject.toml requirements/run.txt requirements/setup.txt $(wildcard engine/Cargo.toml engine/crates.txt engine/src/*.rs engine/src/*/*.rs)

FAST := not lab and not docker and not kubernetes and not browser and not slow and not proof

# Options of a run, passed on when set: make perf SERVICE=memorai RATE=2000 DURATION=20s
opt = $(if $($(1)),--$(2) $($(1)))
RUN_OPTIONS = $(call opt,RATE,rate) $(call opt,DURATION,duration) $(call opt,PROFILE,profile) \
	$(call opt,SCENARIO,scenario) $(call opt,TARGET,target) $(call opt,THROUGH,through) \
	$(call opt,WORKERS,workers) $(call opt,SEED,seed) $(call opt,PLATFORM,platform) \
	$(call opt,NAMESPACE,namespace) $(call opt,CONTEXT,context)

.PHONY: help setup tools perf gate gate-self-test gameday fleet test test-marked coverage check audit lock bench proofs wheel clean

help: ## Show the targets (times: two cores)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Options of perf: SERVICE= RATE= DURATION= PROFILE= SCENARIO= TARGET= THROUGH= WORKERS= SEED="

setup: $(READY) ## Make the virtual environment, build the engine (first time 2 min, then 0 s)

$(READY): $(SOURCES) scripts/setup scripts/packages scripts/crates
	@scripts/setup

tools: $(TOOLS) ## Install what tests and checks need besides (20 s, then 0 s)

$(TOOLS): requirements/dev.txt scripts/setup scripts/packages | $(READY)
	@scripts/setup tools

perf: $(READY) ## Drive a service and judge it: make perf SERVICE=memorai (1 min)
	@$(if $(SERVICE),,echo "make perf: SERVICE is not set; try: make perf SERVICE=memorai (harness services lists them)" >&2; exit 2;)
	@$(PY) -m harness perf $(SERVICE) $(RUN_OPTIONS)

gate: $(READY) ## Compare a service with its baseline: make gate SERVICE=memorai (3 min; docs/gate.md)
	@$(if $(SERVICE),,echo "make gate: SERVICE is not set; try: make gate SERVICE=memorai" >&2; exit 2;)
	@$(PY) -m harness gate $(SERVICE) $(call opt,RUNS,runs) $(RUN_OPTIONS) $(ARGS)

gate-self-test: $(READY) ## Measure the gate's own false alarms and power on the lab (30 min, nightly)
	@$(PY) -m harness gate $(or $(SERVICE),memorai) --self-test --runs $(or $(RUNS),12) $(ARGS)

gameday: $(READY) ## Break things under load and judge what follows (30 min)
	@$(PY) -m harness gameday $(call opt,SERVICE,service) $(call opt,EXPERIMENTS,experiments) \
		$(call opt,REPEAT,repeat) $(call opt,PLATFORM,platform) $(call opt,MUTANT,mutant) \
		$(call opt,NAMESPACE,namespace) $(call opt,CONTEXT,context) $(call opt,KUBECONFIG_FILE,kubeconfig) $(ARGS)

fleet: $(READY) ## Judge all services one after the other, one scorecard (25 min)
	@$(PY) -m harness fleet $(call opt,RATE,rate) $(call opt,DURATION,duration) \
		$(call opt,PLATFORM,platform) $(call opt,NAMESPACE,namespace) $(call opt,CONTEXT,context) $(ARGS)

test: $(TOOLS) ## Run the fast tests (3 min)
	@$(PY) -m pytest -n auto --dist=worksteal --ignore=tests/servers -m "$(FAST)" $(ARGS)

test-marked: $(TOOLS) ## Run the tests that need namespaces, Docker, a browser, a cluster or time (40 min)
	@$(PY) -m pytest -m "not ($(FAST)) and not proof$(if $(MARKED), and ($(MARKED)))" $(ARGS)

coverage: $(TOOLS) ## Run every test with branch coverage of harness/ (50 min)
	@$(PY) -m coverage run -m pytest $(ARGS); code=$$?; $(PY) -m coverage combine -q; \
	$(PY) -m coverage report --skip-covered | tail -n 40; exit $$code

check: $(TOOLS) ## Lint, types, import layers, formatting of Python and Rust (2 min)
	@scripts/check

audit: $(TOOLS) ## Licences, known vulnerabilities (OSV=PLACE), SBOMs of wheel and image in dist/ (20 s)
	@$(PY) -m deploy.audit $(call opt,OSV,osv) $(ARGS)

lock: $(TOOLS) ## Lock what set-up installs by checksums, after a change of a pin (1 min)
	@scripts/lock $(ARGS)

bench: $(TOOLS) ## Measure beside peers and write benchmarks/RESULTS.md (20 min)
	@$(PY) -m benchmarks.run $(ARGS)
	@$(if $(ARGS),,$(PY) -m benchmarks.stats)

proofs: $(TOOLS) ## Run the long proofs and write RESULTS.md: make proofs ARGS="--list" (hours)
	@$(PY) -m benchmarks.proofs $(ARGS)

wheel: $(READY) ## Build dist/*.whl with the engine inside, for pipx run or uvx (5 s after setup)
	@VIRTUAL_ENV="$$PWD/.venv" .venv/bin/maturin build --release --quiet --out dist
	@ls dist/*.whl

clean: ## Remove what was built (results and baselines stay)
	@rm -rf .venv engine/target target build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
