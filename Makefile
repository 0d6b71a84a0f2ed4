# Orchard. `make` alone lists what there is.

# The first of these that has ready-made binaries of everything that is pinned.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
  $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null \
  && echo $$python && exit; done; echo python3)
ARGS ?=
# Each starts stores of its own; tests of one file stay together. 0 runs them one after another.
TEST_PROCESSES ?= 2
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.installed-run
DEV_STAMP := $(VENV)/.installed-dev
CLIENTS := $(patsubst tests/clients/requirements-%.txt,%,$(wildcard tests/clients/requirements-*.txt))
NODE_CLIENTS := .cache/clients/.installed-node
MAVEN_CLIENTS := .cache/clients/.installed-maven
COURSIER := .cache/clients/coursier-2/.installed
MAVEN_COPY := org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy
DEPLOY_CHECK := .cache/deploy-check
CLIENT_STAMPS := $(CLIENTS:%=.cache/clients/%/.installed)
# Pinned versions with pinned hashes, from whatever index pip is set up for; says little.
INSTALL := scripts/install.py

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test lint types contracts k8s-check k8s-proof mutants bench soak demo pins client-tools client-majors minio wheel images clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile
	@echo "Options for a command go in ARGS, for example: make run ARGS='--gateways 2'"

run: $(RUN_STAMP) $(BIN)/orchard ## Start a whole Orchard on this machine (Ctrl-C stops it)
	@exec $(BIN)/python -m services.standalone $(ARGS)

test: $(DEV_STAMP) $(BIN)/orchard client-tools minio $(DEPLOY_CHECK)/.installed ## Run all tests: unit, contracts, integration, real clients
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile $(ARGS)

lint: $(DEV_STAMP) ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV_STAMP) ## Check types
	$(BIN)/mypy

contracts: $(DEV_STAMP) ## Check that imports run down only
	$(BIN)/lint-imports

k8s-check: $(DEPLOY_CHECK)/.installed ## Render, validate and check the Kubernetes manifests
	@$(DEPLOY_CHECK)/venv/bin/python -m scripts.k8s_check $(ARGS)

k8s-proof: $(DEPLOY_CHECK)/.installed ## Apply the manifests to a real API server, twice (Go builds it once: 10 minutes)
	@$(DEPLOY_CHECK)/venv/bin/python -m scripts.k8s_proof $(ARGS)

mutants: $(DEV_STAMP) ## Break the code on purpose, in a copy, in each kept way: some test must notice (ARGS='--only access')
	@$(BIN)/python -m scripts.mutants $(ARGS)

bench: $(DEV_STAMP) client-tools ## Measure Orchard beside nginx, devpi and proxpi
	$(BIN)/python -m bench $(ARGS)

soak: $(DEV_STAMP) ## One random fault after another under load, every byte checked (ARGS='--minutes 20 --seed N')
	$(BIN)/python -m tests.soak $(ARGS)

demo: $(DEV_STAMP) client-tools ## Install real packages through Orchard, then again without any upstream
	$(BIN)/python -m bench.demo $(ARGS)

pins: $(DEV_STAMP) ## Compile the requirements files again (pinned, hashed)
	scripts/pins.sh $(ARGS)

client-tools: $(CLIENT_STAMPS) $(NODE_CLIENTS) $(MAVEN_CLIENTS) $(COURSIER) ## Install the clients that the tests use, each by itself

client-majors: $(DEV_STAMP) ## Ask the registries for clients' newest majors: which does no test run?
	@$(BIN)/python -m tests.clients.majors $(ARGS)

minio: ## Build MinIO's server for the tests, where Go is there (once)
	@scripts/minio.sh || echo "Tests go on without MinIO." >&2

wheel: $(DEV_STAMP) ## Build dist/orchard_proxy-….whl (uv build and python -m build do the same)
	@$(BIN)/python -m hatchling build -d dist $(ARGS)

images: ## Build the images of all services with docker or buildah, whichever is there
	@$(PYTHON) -m scripts.images $(ARGS)

clean: ## Remove what can be made again; never the data folder
	rm -rf $(VENV) .cache dist bench/.work .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './data/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Orchard needs Python 3.11 or newer, and '$(PYTHON)' is not." \
	       "Name another one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	  echo "'$(PYTHON)' cannot make virtual environments:" \
	       "install its venv module (Debian, Ubuntu: the package python3-venv)." >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)

$(RUN_STAMP): services/standalone/requirements.txt | $(BIN)/python
	@$(BIN)/python $(INSTALL) $<
	@touch $@

$(DEV_STAMP): requirements-dev.txt | $(BIN)/python
	@$(BIN)/python $(INSTALL) $<
	@touch $@ $(RUN_STAMP)

# The command of this checkout, from any working directory.
$(BIN)/orchard: services/cli/launch.py | $(BIN)/python
	@printf '%s\n' '#!/bin/sh' '# Written by the Makefile.' \
	  "exec '$(CURDIR)/$(BIN)/python' -P '$(CURDIR)/$<' \"\$$@\"" >$@
	@chmod 755 $@

.cache/clients/%/.installed: tests/clients/requirements-%.txt
	@$(PYTHON) -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "client tools need Python 3.11 or newer with venv; '$(PYTHON)' is not that" >&2; exit 1; }
	@$(PYTHON) -m venv --clear .cache/clients/$*
	@.cache/clients/$*/bin/python $(INSTALL) $<
	@touch $@

# Exact versions from whatever registry npm is set up for. Without node there is nothing to install:
# the tests that need these clients say so.
$(NODE_CLIENTS): tests/clients/node-clients.txt
	@mkdir -p $(@D)
	@if ! command -v npm >/dev/null; then \
	  echo "Note: node and npm are not installed: tests with npm's clients will be skipped" >&2; \
	else \
	  while read -r folder package; do \
	    echo "Installing the client $$package into .cache/clients/$$folder"; \
	    mkdir -p .cache/clients/$$folder && npm install --prefix .cache/clients/$$folder --silent \
	      --ignore-scripts --no-audit --no-fund --no-package-lock --no-save $$package </dev/null || exit 1; \
	  done < $< && touch $@; \
	fi

# Newer Mavens than the system's, which fetches them as what they are, Maven artifacts. Without mvn there
# is nothing to fetch them with: the tests that need them say so.
$(MAVEN_CLIENTS): tests/clients/maven-clients.txt
	@mkdir -p $(@D)
	@if ! command -v mvn >/dev/null; then \
	  echo "Note: mvn is not installed: tests with Maven will be skipped" >&2; \
	else \
	  while read -r folder version sha512; do \
	    echo "Installing Maven $$version into .cache/clients/$$folder"; \
	    home=.cache/clients/$$folder; archive=$$home/apache-maven-$$version-bin.tar.gz; \
	    rm -rf $$home && mkdir -p $$home && mvn -B -q -C $(MAVEN_COPY) \
	      -Dartifact=org.apache.maven:apache-maven:$$version:tar.gz:bin \
	      -DoutputDirectory=$(CURDIR)/$$home </dev/null \
	    && echo "$$sha512  $$archive" | sha512sum --check --quiet \
	    && tar --extract --strip-components=1 --directory=$$home --file=$$archive && rm $$archive || exit 1; \
	  done < $< && touch $@; \
	fi

$(COURSIER): tests/clients/coursier-pom.xml
	@mkdir -p $(@D)
	@if command -v mvn >/dev/null; then \
	  echo "Installing coursier into $(@D)"; \
	  mvn -B -q -C -f $< $(MAVEN_COPY)-dependencies -DoutputDirectory=$(CURDIR)/$(@D) </dev/null && touch $@; \
	fi

$(DEPLOY_CHECK)/.installed: deploy/requirements-check.txt
	@$(PYTHON) -m venv --clear $(DEPLOY_CHECK)/venv
	@$(DEPLOY_CHECK)/venv/bin/python $(INSTALL) $<
	@touch $@
