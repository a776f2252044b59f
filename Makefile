# The front door. Needs Rust, Python 3.10 or newer with venv, a C linker, and make; the rest is installed below .local.
PYTHON ?= python3
STACK := $(PYTHON) infra/local/stack.py

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help up down status journey token run-billing replay-events seal-audit verify-audit reconcile rotate-keys sam-local test lint openapi collection fmt test-unit test-sdk test-e2e test-iam test-policies test-api test-postman fuzz-api
.PHONY: model simulate outage-drill crash-sweep planted-bugs mutants bench package deploy

help: ## List the commands
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS="$$(printf '\t')" read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

up: ## Build, start the local stack, deploy template.yaml, seed, run the sample journey (JOURNEY=no leaves it out)
	@$(STACK) up $(if $(filter no,$(JOURNEY)),--no-journey)

down: ## Stop the local stack; its data stays in .local
	@$(STACK) down

status: ## Show what runs and where
	@$(STACK) status

journey: ## Run the sample journey on the running stack
	@$(STACK) journey

token: ## Print a bearer token: ROLE=OPS_ADMIN, another OPS_* role, or ROLE=tenant TENANT=ten_...
	@$(STACK) token $(if $(ROLE),$(ROLE),OPS_ADMIN) $(if $(TENANT),--tenant $(TENANT)) $(if $(APPLICATION),--application $(APPLICATION))

run-billing: ## Start a billing run and wait until it is DRAINED (AS_OF=2027-01-31T01:00:00Z travels in time)
	@$(STACK) run-billing $(if $(AS_OF),--as-of $(AS_OF))

replay-events: ## Send the events of a day to their consumers again: DAY=2027-01-31 (UTC), STAGE=prod on AWS
	@$(STACK) replay-events $(DAY) $(if $(STAGE),--stage $(STAGE))

seal-audit: ## Seal the days of the audit log that are over, as every night does (STAGE=prod on AWS)
	@$(STACK) seal-audit $(if $(STAGE),--stage $(STAGE))

verify-audit: ## Compute the seals of the audit log again and compare: FROM=2027-01-01 TO=2027-01-31 (all without), STAGE=prod
	@$(STACK) verify-audit $(if $(FROM),--from $(FROM)) $(if $(TO),--to $(TO)) $(if $(STAGE),--stage $(STAGE))

reconcile: ## Compare a past Seoul day with what the gateways list: DAY=2027-01-31, STAGE=prod on AWS
	@$(STACK) reconcile $(DAY) $(if $(STAGE),--stage $(STAGE))

rotate-keys: ## Make a new data key and re-encrypt every stored card under it; again, to finish one (STAGE=prod on AWS)
	@$(STACK) rotate-keys $(if $(STAGE),--stage $(STAGE)) $(if $(LOST),--lost $(LOST))

sam-local: ## Write a template and variables with which `sam local` uses the stack of `make up`
	@$(STACK) sam-local

test: lint test-unit test-sdk test-e2e test-api ## Everything continuous integration runs

lint: ## Formatting, clippy with warnings denied, SAM's linter
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --workspace --test e2e -- -D warnings
	@$(STACK) validate

openapi: ## Write openapi.json from the code
	cargo run --quiet --package contract --bin openapi

collection: ## Write the Postman collection from tests/postman
	$(PYTHON) tests/postman/build.py

fmt: ## Format the code
	cargo fmt --all

test-unit: ## Unit, property, store, adapter and house-rule tests
	cargo test --workspace

test-sdk: ## Stripe's own SDK against the gateway sandbox
	@$(STACK) sdk-check

test-e2e: ## The end-to-end suite on a stack of its own (TEST=name picks tests)
	@$(STACK) e2e $(TEST)

test-iam: ## The end-to-end suite with the emulator enforcing each function's role
	@$(STACK) e2e --auth $(TEST)

test-api: ## The Postman collection and a short fuzz, together on a stack of their own
	@$(STACK) api

test-postman: ## The Postman collection by Newman, on a stack of its own
	@$(STACK) postman

fuzz-api: ## At least 5,000 answers to generated requests as every role, held against openapi.json (CASES=30 per operation and role)
	@$(STACK) fuzz-api $(CASES)

test-policies: test-iam ## The same: it ends with rights granted against rights used, function by function

model: ## Every interleaving of the charge protocol, and without each guard (DEEP=yes for a night)
	DEEP=$(DEEP) cargo test --package model

simulate: ## The real use cases under virtual time and faults: SEEDS=10000 (300 without), FIRST=..., SEED=n replays one
	cargo run --package simulation --profile simulation -- $(if $(SEED),seed=$(SEED) lines=400,seeds=$(if $(SEEDS),$(SEEDS),300) first=$(if $(FIRST),$(FIRST),1))

outage-drill: ## Runs stop for forty simulated days across two month ends and start again; the gateways' ledger judges
	cargo run --package simulation --profile simulation -- drill=1

crash-sweep: ## A process death or a failed call at every step of a charge, and every pair of deaths
	cargo test --package tests --test it flows::sweep -- --nocapture

planted-bugs: ## Known bugs, planted one by one in a scratch copy: the simulation has to find each (BUG=name picks one)
	@$(STACK) planted-bugs $(BUG)

mutants: ## The rules broken in one place at a time: their tests have to notice (hours; FILE=shared/domain/src/settle.rs)
	@$(STACK) mutants $(FILE)

bench: ## Measure the budgets against floors; a table, and JSON in the target directory (ROWS="cpu wall" picks, QUICK=yes tries)
	cargo build --profile measured -p functions -p bench-floor -p bench
	target/measured/bench $(if $(QUICK),--quick) $(ROWS)

package: ## arm64 zips of the shipped profile in dist/, their sizes against the budget of 3.5 MB (FUNCTION=name builds one)
	@$(STACK) package $(FUNCTION)

deploy: package ## Package and deploy to AWS: STAGE=dev, staging or prod
	@$(STACK) deploy $(STAGE)

ifeq ($(filter deploy,$(MAKECMDGOALS)) $(STAGE),deploy )
$(error which stage? make deploy STAGE=dev, staging or prod)
endif
