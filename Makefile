# Calyx. Two commands matter: `sudo make demo` and `sudo make test`; both set up what they need.

SHELL := /bin/sh
export PATH := $(CURDIR)/.tools:$(CURDIR)/node_modules/.bin:$(PATH)
export DATASTORE ?= embedded

.PHONY: help packages demo test setup setup-test check format types lint unit interop system fault conformance churn fuzz bench clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

demo: setup ## two hosts, two networks, one opened port (KEEP=1 leaves it up, DATASTORE=etcd)
	@.tools/node lab/demo/main.ts $(if $(KEEP),--keep) --datastore $(DATASTORE)

test: setup-test ## everything CI runs: format, lint, types, unit, interop, system
	@.tools/node test/run.ts

setup: ## install what running needs (apt, npm, Node), build
	@setup/setup.sh run

setup-test:
	@setup/setup.sh test

check: format lint types ## format, lint, type check (no root needed)

format:
	@biome format .

lint:
	@biome lint --error-on-warnings .

types:
	@tsc --noEmit

unit: ## tests without root, in seconds
	@mocha

interop: setup-test ## against real peers: kernel, etcd, bird
	@.tools/node test/run.ts interop

system: setup-test ## whole labs with real packets
	@.tools/node test/run.ts system

fault: setup-test ## kill, fill, cut: a long fault campaign (CALYX_FAULT_ROUNDS=30)
	@CALYX_FAULT_ROUNDS=$${CALYX_FAULT_ROUNDS:-30} .tools/node test/run.ts fault

conformance: setup-test ## every field, random policies, Kubernetes' own cases: real packets on both dataplanes
	@CALYX_CONFORMANCE=all .tools/node test/run.ts conformance

churn: setup-test ## ten minutes of churn and kills under attack on each dataplane (CALYX_CHURN_SECONDS=600)
	@CALYX_CHURN_SECONDS=$${CALYX_CHURN_SECONDS:-600} .tools/node test/run.ts fault -g churn

fuzz: setup-test ## random input for node-bgp: INPUTS (10000000) and SEED
	@.tools/node bgp/node-bgp/test/fuzz/main.ts $${INPUTS:-10000000} $$SEED

bench: setup-test ## all benchmarks; each prints a table and a JSON line (bench-NAME for one, ARGS=... for it)
	@for f in test/bench/*.ts; do echo "== $$f"; .tools/node $$f || exit 1; done

bench-%: setup-test
	@.tools/node test/bench/$*.ts $(ARGS)

packages: setup ## the two libraries as npm packages, in dist/packages
	@.tools/node setup/pack-library.ts

clean: ## remove what set-up built (not apt packages)
	rm -rf dist node_modules crd-schemas/generated .tools setup/node/node_modules
