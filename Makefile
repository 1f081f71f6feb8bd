# One idea: `make <target>` works as the first command after a clone. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python
READY := .venv/.ready
# Everything that changes what is installed or built.
SOURCES := pyproject.toml $(wildcard engine/Cargo.toml engine/src/*.rs engine/src/*/*.rs)

FAST := not lab and not docker and not kubernetes and not browser and not slow

# Options of a run, passed on when set: make perf SERVICE=memorai RATE=2000 DURATION=20s
opt = $(if $($(1)),--$(2) $($(1)))
RUN_OPTIONS = $(call opt,RATE,rate) $(call opt,DURATION,duration) $(call opt,PROFILE,profile) \
	$(call opt,SCENARIO,scenario) $(call opt,TARGET,target) $(call opt,THROUGH,through) \
	$(call opt,WORKERS,workers) $(call opt,SEED,seed) $(call opt,PLATFORM,platform) \
	$(call opt,NAMESPACE,namespace) $(call opt,CONTEXT,context)

.PHONY: help setup perf gate gate-self-test gameday test test-marked coverage check bench clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Options of perf: SERVICE= RATE= DURATION= PROFILE= SCENARIO= TARGET= THROUGH= WORKERS= SEED="

setup: $(READY) ## Make the virtual environment and build the engine

$(READY): $(SOURCES) scripts/setup
	@scripts/setup

perf: $(READY) ## Drive a service and judge it: make perf SERVICE=memorai
	@$(if $(SERVICE),,echo "make perf: SERVICE is not set; try: make perf SERVICE=memorai (harness services lists them)" >&2; exit 2;)
	@$(PY) -m harness perf $(SERVICE) $(RUN_OPTIONS)

gate: $(READY) ## Compare a service with its baseline: make gate SERVICE=memorai
	@$(if $(SERVICE),,echo "make gate: SERVICE is not set; try: make gate SERVICE=memorai" >&2; exit 2;)
	@$(PY) -m harness gate $(SERVICE) $(RUN_OPTIONS) $(ARGS)

gate-self-test: $(READY) ## Measure the gate's own false alarms and power on the lab (nightly)
	@$(PY) -m harness gate $(or $(SERVICE),memorai) --self-test --runs $(or $(RUNS),12) $(ARGS)

gameday: $(READY) ## Break things under load and judge what happens: make gameday
	@$(PY) -m harness gameday $(call opt,SERVICE,service) $(call opt,EXPERIMENTS,experiments) \
		$(call opt,REPEAT,repeat) $(call opt,PLATFORM,platform) $(call opt,MUTANT,mutant) \
		$(call opt,NAMESPACE,namespace) $(call opt,CONTEXT,context) $(call opt,KUBECONFIG_FILE,kubeconfig) $(ARGS)

test: $(READY) ## Run the fast tests
	@$(PY) -m pytest -n auto -m "$(FAST)" $(ARGS)

test-marked: $(READY) ## Run the tests that need namespaces, Docker, a browser, a cluster or time
	@$(PY) -m pytest -m "not ($(FAST))" $(ARGS)

coverage: $(READY) ## Run every test with branch coverage of harness/
	@$(PY) -m coverage run -m pytest $(ARGS); code=$$?; $(PY) -m coverage combine -q; \
	$(PY) -m coverage report --skip-covered | tail -n 40; exit $$code

check: $(READY) ## Lint, types, formatting of Python and Rust, the README's commands
	@scripts/check

bench: $(READY) ## Measure beside peers and write benchmarks/RESULTS.md (about 20 minutes)
	@$(PY) -m benchmarks.run $(ARGS)
	@$(if $(ARGS),,$(PY) -m benchmarks.stats)

clean: ## Remove what was built (results and baselines stay)
	@rm -rf .venv engine/target target build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
