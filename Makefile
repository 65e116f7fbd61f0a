SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export CGO_ENABLED ?= 0
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X main.version=$(VERSION)
PROGRAMS := cmd/praefect cmd/praefectctl cmd/git-remote-gitaly test/gitaly/test-gitaly
# How long each fuzz target runs in `make fuzz`.
FUZZTIME ?= 60s

# Property tests draw from this seed, so that a run can be repeated; 0 is a new one each
# time, as with a bare `go test`.
export RAPID_SEED ?= 1
export RAPID_NOFAILFILE ?= true

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the programs into build/
	@mkdir -p build
	go build -trimpath -ldflags '$(LDFLAGS)' -o build/ $(addprefix ./,$(PROGRAMS))

.PHONY: packages
packages: build ## Build a deb and an rpm into build/packages
	VERSION='$(VERSION)' deploy/packages/build.sh build build/packages

.PHONY: needs
needs:
	@test/needs.sh

# GITALY_BIN is a real gitaly for the demo's storages, GITALY_GIT its git. Without
# it the one of GitLab's packages is taken, where there is one, else test-gitaly.
.PHONY: demo
demo: needs build ## Start a cluster on this machine, push and clone through it
	go run ./test/demo up

.PHONY: demo-down
demo-down: ## Stop what make demo started
	go run ./test/demo down

.PHONY: cast
cast: ## Draw the recording of make demo for the README
	go run ./test/cast render < docs/images/demo.cast > docs/images/demo.svg

.PHONY: cast-record
cast-record: needs build ## Record make demo again, and draw it
	{ echo '$$ make demo'; go run ./test/demo up; } | go run ./test/cast record "$(CURDIR)=~/praefect" "$(VERSION)=dev" > docs/images/demo.cast
	$(MAKE) cast

.PHONY: screenshots
screenshots: needs ## Take the screenshots of the web console for docs/images again
	SCREENSHOTS=$(CURDIR)/docs/images go test -count=1 -run TestConsole_inABrowser ./test/console

# The suites that start dozens of processes run apart from the other packages: they
# would only measure how busy those keep the machine. The simulation needs one core,
# and test/faults mostly waits: they run side by side.
SUITES := ./test/votes ./test/partition ./test/membership ./test/onecluster ./test/upgrade ./test/realgitaly ./test/install ./test/alerts
APART := ./test/faults ./test/console ./test/sim $(SUITES)

# $(1): flags of go test.
define run-tests
	{ failed=0; beside=$$(mktemp); trap 'rm -f "$$beside"' EXIT; \
	  go test $(1) -json -count=1 -timeout 20m $$(go list ./... | grep -vxFf <(go list $(APART))) || failed=1; \
	  nice go test $(1) -json -count=1 -timeout 28m ./test/sim > "$$beside" & \
	  for suite in ./test/faults ./test/console; do go test $(1) -json -count=1 -timeout 28m $$suite || failed=1; done; \
	  wait $$! || failed=1; \
	  cat "$$beside"; \
	  exit $$failed; } | go run ./test/report
endef

.PHONY: test
test: needs ## Run all tests but those of make suites (CI=1: a skipped test is a failure)
	$(call run-tests,)

.PHONY: race
race: export CGO_ENABLED = 1
race: needs ## Run the tests of make test with the race detector
	$(call run-tests,-race)

# These take half an hour, and partition takes its faults in an order by chance.
.PHONY: suites
suites: needs ## Run the long suites on real processes: faults, partitions, membership, upgrade, packages, alerts, GITALY_BIN
	{ failed=0; for suite in $(SUITES); do go test -json -count=1 -timeout 28m $$suite || failed=1; done; \
	  exit $$failed; } | go run ./test/report

.PHONY: alerts
alerts: needs ## Make every alert fire on a cluster, by the fault it names
	go test -count=1 -timeout 28m -v ./test/alerts

# How many executions each target must make in that time: with fewer it tests nothing.
FUZZFLOOR ?= 1000

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME, and fail if one makes less than FUZZFLOOR executions
	@failed=0; out=$$(mktemp); list=$$(mktemp); trap 'rm -f "$$out" "$$list"' EXIT; \
	targets=$$(go list -f '{{$$p := .}}{{range .TestGoFiles}}{{$$p.ImportPath}} {{$$p.Dir}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$$p.ImportPath}} {{$$p.Dir}}/{{.}}{{"\n"}}{{end}}' ./...); \
	while read -r package file; do \
		[ -n "$$file" ] || continue; \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file"); do \
			echo "== $$package $$target"; verdict=ok; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x "$$package" 2>&1 | tee "$$out" || { verdict=FAILED; failed=1; }; \
			execs=$$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' "$$out" | tail -1); \
			if [ "$$verdict" = ok ] && [ "$${execs:-0}" -lt $(FUZZFLOOR) ]; then verdict='TOO FEW'; failed=1; fi; \
			printf '%10s  %-8s %s %s\n' "$${execs:-0}" "$$verdict" "$$package" "$$target" >> "$$list"; \
		done; \
	done <<< "$$targets"; \
	echo "executions in $(FUZZTIME), at least $(FUZZFLOOR) each:"; cat "$$list"; exit $$failed

# Schedules of the simulation: N seeds from SEED on.
SEED ?= 1
N ?= 10000

.PHONY: sim
sim: ## Simulate N schedules from SEED on (TRACE=1: print what happens)
	@go run ./test/sim/simulate -seed $(SEED) -n $(N) $(if $(TRACE),-trace)

.PHONY: soak
soak: ## Simulate for ever, from a seed that was not tried before
	@go run ./test/sim/simulate -seed $$(date +%s)000000 -n $(N) -soak

.PHONY: mutants
mutants: ## Show that the simulation finds every planted defect
	@go run ./test/mutants

.PHONY: generate
generate: ## Write the Go files of the .proto files (a test compares them)
	go run ./test/protos

.PHONY: lint
lint: ## Check format, vet and staticcheck
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not formatted with gofmt:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go tool staticcheck ./...

# How often each step of `make failover-bench` is run, which steps (all if none is
# named), and whether writes are voted on (strong) or not (eventual).
RUNS ?= 20
ONLY ?=
MODE ?= strong

.PHONY: failover-bench
failover-bench: needs build ## Measure how clients fare while things fail; writes build/failover.json
	go run ./test/failover -runs $(RUNS) -only '$(ONLY)' -mode $(MODE)

# Which attacks of `make attack` are made (all if none is named).
ATTACKS ?=

.PHONY: attack
attack: needs build ## Attack a cluster at work, and show what each attack costs
	go run ./test/attack -only '$(ATTACKS)'

# How many minutes `make busy` keeps the machine busy, for each of two bounds, with how many processes.
MINUTES ?= 30
PROCESSES ?= 200

.PHONY: busy
busy: needs build ## Show that a busy storage is not failed over, for MINUTES with each of two bounds
	go run ./test/busy -minutes $(MINUTES) -processes $(PROCESSES)

.PHONY: bench
bench: needs build ## Measure direct against proxied, and the queue; writes build/bench.json
	go run ./test/bench
