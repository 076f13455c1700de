# What can be done in this repository, by name. `make` alone lists it.

TOOL := go tool -modfile=internal/tools/go.mod

# make demo ZONES=300 KEEP=1 OUTPUT=json STRATEGY=staged
ZONES    ?= 60
KEEP     ?=
OUTPUT   ?= text
STRATEGY ?= refresh

# More for every go test, such as -count=1 or -race.
TESTFLAGS ?=
FUZZTIME  ?= 20s

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: bin/devserver programs ## build bin/keywave, bin/worker and bin/devserver

.PHONY: programs
programs:
	@go build -o bin/keywave ./starter
	@go build -o bin/worker ./worker

# A Temporal server takes minutes to compile, so it is compiled only when it has changed.
# default.pgo tells the compiler where the server spends its time, which saves an eighth.
bin/devserver: $(filter-out %_test.go,$(wildcard devserver/*.go)) devserver/go.mod devserver/go.sum devserver/default.pgo
	@echo "building bin/devserver, Temporal in one binary: the first time takes some minutes" >&2
	@cd devserver && go build -trimpath -ldflags='-s -w' -o ../$@.$$$$ . && mv ../$@.$$$$ ../$@ # two may build it at the same time
	@touch $@

.PHONY: pgo
pgo: build ## record devserver/default.pgo, with which devserver is compiled
	go run ./internal/proving/bench -profile devserver/default.pgo

.PHONY: demo
demo: build ## everything on this machine, and a campaign (ZONES=60 KEEP=1 OUTPUT=json STRATEGY=staged)
	@bin/keywave demo --zones $(ZONES) $(if $(filter-out 0 no false,$(KEEP)),--keep) --strategy $(STRATEGY) --output $(OUTPUT)

# When a line fails, the others still run, and the end names what failed. devserver is
# tested with the flags with which bin/devserver is compiled. Tests wait more than they
# compute, so three packages, and six tests of each, run side by side.
.PHONY: test
test: ## everything that can be tested on this machine
	@go build -C internal/tools -o $(CURDIR)/bin/inturn ./inturn
	@bin/inturn 'make build' 'make prepare' 'make check' \
		'go test -timeout 20m -p 3 -parallel 6 $(TESTFLAGS) ./...' \
		'cd internal/tools && go test -count=1 ./...' \
		'make chart-test' \
		'cd devserver && go test -trimpath -vet=off -timeout 10m $(TESTFLAGS) ./...' \
		'make chaos-quick' \
		'make cluster-quick'

# make chaos SEEDS=20 SEED=1000 ZONES=40, make chaos SEEDS=0 MATRIX=1
SEED   ?= 1
SEEDS  ?= 2
MATRIX ?=

.PHONY: chaos
chaos: build ## campaigns under bad days of every kind (SEEDS=20 ZONES=40; MATRIX=1 for the crash matrix)
	go run ./internal/proving/chaos -seeds $(SEEDS) -seed $(SEED) -zones $(ZONES) $(if $(filter-out 0 no false,$(MATRIX)),-matrix -1)

.PHONY: bench bench-quick
bench: build ## measure, next to the scripts that people use; writes docs/benchmarks.md
	go run ./internal/proving/bench
bench-quick: build ## the same with few zones, in about ten minutes
	go run ./internal/proving/bench -quick

.PHONY: bench-100k
bench-100k: build ## one campaign of 100,000 zones, terminated and resumed in its middle; it may take hours (ZONES=2000)
	go run ./internal/proving/bench -parts huge -zones $(if $(filter file,$(origin ZONES)),100000,$(ZONES))

.PHONY: chaos-quick
chaos-quick: build
	go run ./internal/proving/chaos -at-once 3 -seeds 3 -zones 24 -matrix 3

# The server that docker-compose.yml runs, and the tool of its schema: from the module of
# bin/devserver and compiled with its flags, so that most of it is compiled already.
bin/temporal-server bin/temporal-sql-tool: devserver/go.mod devserver/go.sum devserver/default.pgo
	@cd devserver && go build -trimpath -pgo=default.pgo -ldflags='-s -w' -o ../$@ \
		go.temporal.io/server/cmd/$(if $(filter %server,$@),server,tools/sql)
	@touch $@

# With OLD=COMMIT the campaign begins with the workers of that commit, goes on with these
# and ends with the older ones.
OLD ?=
cluster = go run ./internal/proving/cluster $(if $(OLD),-old bin/old/worker) \
	-schema "$$(cd devserver && go list -m -f '{{.Dir}}' go.temporal.io/server)/schema" -zones

.PHONY: cluster-test cluster-quick
cluster-test: programs bin/temporal-server bin/temporal-sql-tool prepare ## Temporal as four services on PostgreSQL, workers by roles, everything killed in turn (ZONES=1000 OLD=COMMIT)
	@$(if $(OLD),rm -rf bin/old && mkdir -p bin/old/tree && git archive $(OLD) | tar -x -C bin/old/tree && \
		go build -C bin/old/tree -buildvcs=false -o ../worker ./worker && rm -rf bin/old/tree)
	@$(cluster) $(if $(filter file,$(origin ZONES)),1000,$(ZONES))
cluster-quick: programs bin/temporal-server bin/temporal-sql-tool
	@if ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then $(cluster) 40; \
		else echo "skipped: make cluster-quick: PostgreSQL is missing"; fi

.PHONY: prepare
prepare:
	@internal/tools/prepare.sh

.PHONY: check
check: ## format, vet, staticcheck, workflowcheck, import directions
	@unformatted=$$($(TOOL) gofumpt -l .) && if [ -n "$$unformatted" ]; then \
		echo "not formatted (make fmt):"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	$(TOOL) staticcheck ./...
	$(TOOL) workflowcheck -test=false -config internal/tools/workflowcheck.yaml ./workflows
	go test ./internal/proving/layers

.PHONY: fmt
fmt: ## format every Go file
	$(TOOL) gofumpt -w .

.PHONY: e2e
e2e: build ## the real programs, end to end
	go test -timeout 15m -count=1 $(TESTFLAGS) ./internal/proving/e2e/...

.PHONY: chart-test
chart-test: ## the chart for Kubernetes, with every combination of its README's values
	@cd internal/tools/chart && go test -c -o ../../../bin/chart.test . && ../../../bin/chart.test

.PHONY: ui-test
ui-test: programs prepare ## a campaign in the real Temporal UI, in headless Chromium (UI_IMAGES=DIR keeps screenshots)
	UI_IMAGES=$(abspath $(UI_IMAGES)) go test -timeout 15m -count=1 ./internal/proving/e2e -run TestTemporalUI

.PHONY: observe-test
observe-test: programs bin/devserver prepare ## a real Prometheus watches real workers on a bad day: alerts fire and clear
	@figure=$$(mktemp) && trap 'rm -f "$$figure"' EXIT && \
		go test -count=1 ./internal/telemetry && \
		OBSERVE_FIGURE=$$figure go test -timeout 5m -count=1 ./internal/proving/e2e -run '^TestObserve$$' && \
		if [ -s "$$figure" ]; then cat "$$figure"; else echo "observe: skipped, Prometheus is missing"; exit 1; fi

# packages lists the packages whose tests hold $(1), a basic regular expression.
packages  = $(sort $(dir $(shell grep -rl --include='*_test.go' --exclude-dir=devserver --exclude-dir=tools '$(1)' .)))
is-golden = flag\.Bool("update"
is-fuzz   = ^func Fuzz

.PHONY: golden
golden: ## write the golden files anew
	go test $(call packages,$(is-golden)) -update

.PHONY: fuzz
fuzz: ## every fuzz target for 20 s (FUZZTIME=20s)
	@set -e; for dir in $(call packages,$(is-fuzz)); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$dir*_test.go); do \
			echo "$$dir $$target"; go test $$dir -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME); \
		done; done

.PHONY: histories
histories: build ## record histories of every workflow, for the replay test
	bin/keywave demo --histories workflows/testdata/histories
	go test ./starter -timeout 15m -count=1 -run 'TestScript/(accounts|campaign|gates|hours|repair|rollback|schedule|staged|zone)$$' -histories $(abspath workflows/testdata/histories)
