# Waybill on one machine. `make help` says what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BUS ?= postgres

UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
MEMBERS := libs/events libs/runtime $(sort $(wildcard services/*)) sandboxes cli
PROJECTS := $(addsuffix /pyproject.toml,$(MEMBERS))
SERVICES := $(sort $(wildcard services/*))
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-emit-package waybill \
	$(foreach m,events runtime sandboxes $(notdir $(SERVICES)),--no-emit-package waybill-$(m))

.PHONY: help
help: ## Say what there is
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-17s %s\n", $$1, $$2}'

# --- installing ---------------------------------------------------------------------------

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit("Waybill needs Python 3.11 or newer, not " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(STAMP): requirements.lock $(PROJECTS) | $(BIN)/uv
	@echo "installing into $(VENV): a minute or two the first time" >&2
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation $(addprefix -e ./,$(MEMBERS))
	@touch $@

.PHONY: install
install: $(STAMP) ## Make .venv from the hash-locked requirements

.PHONY: lock
lock: $(BIN)/uv ## Resolve the locks again: the workspace's, and one per image
	@$(COMPILE) --group pyproject.toml:dev --extra embedded $(PROJECTS) \
		--output-file requirements.lock
	@$(COMPILE) --constraint requirements.lock --output-file deploy/images/build.lock \
		deploy/images/build.in
	@$(COMPILE) --constraint requirements.lock --output-file sandboxes/requirements.lock \
		sandboxes/pyproject.toml
	@$(COMPILE) --constraint requirements.lock --output-file cli/requirements.lock $(PROJECTS)
	@for service in $(SERVICES); do \
		$(COMPILE) --constraint requirements.lock --output-file $$service/requirements.lock \
			libs/events/pyproject.toml libs/runtime/pyproject.toml $$service/pyproject.toml; \
	done

.PHONY: isolated
isolated: $(STAMP) ## Install each service, and the command, alone from its own lock, and import it
	@for service in $(notdir $(SERVICES)); do \
		rm -rf $(VENV)/alone/$$service && $(BIN)/uv venv --quiet $(VENV)/alone/$$service && \
		VIRTUAL_ENV=$(VENV)/alone/$$service $(BIN)/uv pip install --quiet --require-hashes \
			-r services/$$service/requirements.lock -r deploy/images/build.lock && \
		VIRTUAL_ENV=$(VENV)/alone/$$service $(BIN)/uv pip install --quiet --no-deps \
			--no-build-isolation ./libs/events ./libs/runtime ./services/$$service && \
		(cd / && "$(CURDIR)/$(VENV)/alone/$$service/bin/python" -c "import $$service.bootstrap") && \
		echo "$$service stands alone" || exit 1; \
	done
	@rm -rf $(VENV)/alone/operator && $(BIN)/uv venv --quiet $(VENV)/alone/operator
	@VIRTUAL_ENV=$(VENV)/alone/operator $(BIN)/uv pip install --quiet --require-hashes \
		-r cli/requirements.lock -r deploy/images/build.lock
	@VIRTUAL_ENV=$(VENV)/alone/operator $(BIN)/uv pip install --quiet --no-deps \
		--no-build-isolation $(addprefix ./,$(MEMBERS))
	@(cd / && "$(CURDIR)/$(VENV)/alone/operator/bin/waybill" --help >/dev/null) && \
		echo "waybill stands without what it embeds"

# --- checking -----------------------------------------------------------------------------

.PHONY: schemas
schemas: $(STAMP) ## Write what is generated: schemas, AsyncAPI and OpenAPI documents, pages of events and problems
	@$(BIN)/python -m waybill_events.generate
	@$(BIN)/python -m waybill.openapi
	@$(BIN)/python -m waybill.audit.told
	@$(BIN)/python -m waybill.problems

.PHONY: figures
figures: $(STAMP) ## Write the figures of docs/reliability.md from docs/evidence
	@$(BIN)/python -m waybill.figures

.PHONY: contract
contract: $(STAMP) ## Check contracts, breaking changes, imports and tidiness
	@$(BIN)/pytest tests/contract
	@$(BIN)/python -m waybill_events.compatibility
	@$(BIN)/lint-imports

.PHONY: lint
lint: $(STAMP) ## Check style and format
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

.PHONY: types
types: $(STAMP) ## Check types, tests included
	@$(BIN)/mypy $(addsuffix /src,$(MEMBERS))
	@for tests in $(wildcard $(addsuffix /tests,$(MEMBERS)) tests/*/) bench; do \
		$(BIN)/mypy $$tests || exit 1; \
	done  # one run per folder: test modules of the same name coexist, packages they are not

.PHONY: fmt
fmt: $(STAMP) ## Format, and mend what ruff can mend
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

# --- running ------------------------------------------------------------------------------

WAYBILL := $(BIN)/waybill

.PHONY: up
up: $(STAMP) ## Start everything here (WAREHOUSE=sandbox|none; BUS=postgres|kafka, which the home keeps)
	@"$(WAYBILL)" up

.PHONY: down
down: $(STAMP) ## Stop everything; data stay
	@"$(WAYBILL)" down

.PHONY: clean
clean: $(STAMP) ## Stop everything and drop its data, and what stopped runs of chaos, soak and prove left
	@"$(WAYBILL)" clean --yes --runs

.PHONY: status
status: $(STAMP) ## Show each process: readiness, restarts, memory
	@"$(WAYBILL)" status

.PHONY: simulate
simulate: SEEDS = 300
simulate: FROM = 0
simulate: ORDERS = 6
simulate: $(STAMP) ## Simulate days with faults from a seed (SEEDS=300, FROM=0, ORDERS=6, EVIDENCE=path)
	@"$(WAYBILL)" simulate --seeds $(SEEDS) --from $(FROM) --orders $(ORDERS) \
		$(if $(EVIDENCE),--evidence "$(EVIDENCE)")

.PHONY: simulate-long
simulate-long: SEEDS = 500
simulate-long: FROM = 0
simulate-long: $(STAMP) ## Add days of 100 orders to the long run's evidence (FROM=0, SEEDS=500; 10,000 in all)
	@"$(WAYBILL)" simulate --seeds $(SEEDS) --from $(FROM) --orders 100 \
		--evidence docs/evidence/simulator-long.json --of 10000

.PHONY: test
test: $(STAMP) ## Run every suite; KAFKA=required fails instead of leaving Kafka out
	@tests/run

# --- images and Kubernetes ----------------------------------------------------------------

BASE ?= python:3.11-slim
DOCKER ?= docker
VERSION ?= dev
IMAGES := $(SERVICES) sandboxes cli

.PHONY: images
images: ## Build every image (BASE=any image with Python and venv, BUILD_ARGS=…)
	@for folder in $(IMAGES); do \
		name=$${folder##*/}; [ $$name != cli ] || name=operator; begun=$$SECONDS; \
		DOCKER_BUILDKIT=1 "$(DOCKER)" build --quiet --build-arg BASE="$(BASE)" \
			--build-arg REVISION="$$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
			$(BUILD_ARGS) --file $$folder/Dockerfile --tag waybill/$$name:$(VERSION) . >/dev/null || exit 1; \
		printf '%-28s %4d s  %sB\n' waybill/$$name:$(VERSION) $$((SECONDS - begun)) \
			"$$("$(DOCKER)" image inspect --format '{{.Size}}' waybill/$$name:$(VERSION) \
				| numfmt --to=si)"; \
	done

.PHONY: sbom
sbom: $(STAMP) ## Write a CycloneDX list of all that is installed to .waybill/sbom.cdx.json
	@mkdir -p .waybill
	@$(BIN)/uv tool run --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py requirements \
		requirements.lock --output-reproducible --sv 1.6 --of JSON -o .waybill/sbom.cdx.json

.PHONY: k8s
k8s: $(STAMP) ## Render the Kubernetes manifests and check them
	@$(BIN)/pytest tests/deploy

# --- hostile input ------------------------------------------------------------------------

REQUESTS ?= 100000
EVENTS ?= 200000
ABORTED ?= 10000

.PHONY: hostile-requests
hostile-requests: $(STAMP) ## Ask every API what hostile clients ask (REQUESTS=…), with evidence
	@PYTHONPATH=tests/hostile $(BIN)/python tests/hostile/requests_run.py --requests $(REQUESTS)

.PHONY: hostile-events
hostile-events: $(STAMP) ## Put hostile events before all consumers (EVENTS=…), with evidence
	@PYTHONPATH=tests/hostile $(BIN)/python tests/hostile/events_run.py --events $(EVENTS)

.PHONY: aborted-requests
aborted-requests: $(STAMP) ## Abort requests at any moment (ABORTED=…), with evidence
	@PYTHONPATH=tests/hostile $(BIN)/python tests/hostile/aborted_run.py --requests $(ABORTED)

# --- planted bugs ------------------------------------------------------------------------

.PHONY: planted-bugs
planted-bugs: $(STAMP) ## Plant each known bug and hunt it down; fails unless all are caught, with evidence
	@PYTHONPATH=tests/planted $(BIN)/python tests/planted/hunt.py

# --- crash points -------------------------------------------------------------------------

RESULTS ?= $(VENV)/crash-points.jsonl
SECONDS_AT_ONCE ?= 3600

.PHONY: crash-points
crash-points: $(STAMP) ## Let services die at every point; goes on where RESULTS ends, with evidence
	@PYTHONPATH=tests/crash $(BIN)/python tests/crash/crash_run.py --results "$(RESULTS)" \
		--seconds $(SECONDS_AT_ONCE) --evidence docs/evidence/crash-points.json

.PHONY: replay
replay: up ## Play a file of the UCI Online Retail layout through the APIs (FILE=…)
	@[ -n "$(FILE)" ] || { echo "Name a file: make replay FILE=path/to/2010-12.csv.gz" >&2; exit 2; }
	@"$(WAYBILL)" replay "$(FILE)"

.PHONY: demo
demo: up ## Show orders flowing, live, and end with the audit
	@"$(WAYBILL)" demo

# --- chaos on real processes --------------------------------------------------------------

SEED ?= 1
RATE ?= 20
CUSTOMERS ?= 96
RESUME ?=
DISK ?=
ifeq ($(BUS),kafka)
MINUTES ?= 30
FAULTS ?= 500
ORDERS ?= 20000
LEAST ?= --at-least broker_restarts=60 --at-least rebalances=150
else
MINUTES ?= 60
FAULTS ?= 1000
ORDERS ?= 50000
LEAST ?= --at-least rebuilds=20
endif

.PHONY: chaos
chaos: $(STAMP) ## Strike a real system and audit it (BUS, MINUTES, SEED, FAULTS, ORDERS, CUSTOMERS, DISK=MiB, RESUME=--resume|--anew)
	@"$(WAYBILL)" chaos --minutes $(MINUTES) --seed $(SEED) --bus $(BUS) --faults $(FAULTS) \
		--customers $(CUSTOMERS) --orders $(ORDERS) $(LEAST) --evidence docs/evidence/chaos-$(BUS).json \
		$(if $(DISK),--disk $(DISK)) $(RESUME)

.PHONY: recovery
recovery: $(STAMP) ## Kill services and Postgres one at a time, and time the recoveries (BUS, SEED, RESUME=--anew)
	@"$(WAYBILL)" chaos --minutes 25 --seed $(SEED) --bus $(BUS) --faults 150 --customers 4 \
		--orders 500 --kinds service-kill,postgres-kill \
		--at-least service_kills_alone=50 --at-least postgres_kills_alone=50 \
		--evidence docs/evidence/recovery-$(BUS).json $(RESUME)

.PHONY: soak
soak: $(STAMP) ## Load without faults, and whether anything grows (BUS, MINUTES, SEED, RATE)
	@"$(WAYBILL)" soak --minutes $(MINUTES) --seed $(SEED) --bus $(BUS) --rate $(RATE) \
		--evidence docs/evidence/soak-$(BUS).json

# --- one promise in numbers ----------------------------------------------------------------

.PHONY: prove
prove: $(STAMP) ## Prove oversell, double-submit and gateway at their full sizes (BUS)
	@for name in oversell double-submit gateway; do \
		"$(WAYBILL)" prove $$name --full --bus $(BUS) \
			--evidence docs/evidence/$$name-$(BUS).json || exit 1; \
	done
