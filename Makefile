# One line a target; `make help` prints them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null)
ARCH ?= amd64
DIST ?= dist
BUILD := CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION) -X main.revision=$(COMMIT)"

# What the demo reads; empty is its default. See sandbox/README.md.
export DATA CHAOS KEEP SEED RESOURCES MODE DURATION SCREENSHOT

.PHONY: help demo screenshot soak test lint build bench race package publish clean

help: ## what there is to make
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-9s %s\n", $$1, $$2}'

demo: sandbox/node_modules ## migrate five years of data between two FHIR services on this machine (DATA= CHAOS=1 KEEP=1 SEED= RESOURCES= MODE=)
	$(BUILD) -o bin/ ./handler ./sandbox
	@bin/sandbox

screenshot: ## docs/dashboard.png: the page half-way through the demo, for the README (needs chromium)
	$(MAKE) demo SCREENSHOT=docs/dashboard.png

soak: sandbox/node_modules ## migrate again and again while everything fails that can, for DURATION=5m; everything must arrive or be listed (SEED=)
	$(BUILD) -o bin/ ./handler ./sandbox
	@bin/sandbox soak

# The same flags as those of the build: what it compiled need not be compiled again.
test lint: export CGO_ENABLED = 0
test lint: export GOFLAGS := -trimpath $(GOFLAGS)

# lint has vetted all of it.
test: lint build sandbox/node_modules ## all tests; none is skipped
	@report=$$(mktemp); trap 'cat "$$report"; rm -f "$$report"' EXIT; CRASH_REPORT=$$report go test -vet=off -count=1 -timeout 30m ./...

# go run, as go tool compiles what the build has compiled once more, in a way of its own: half a minute when nothing is cached.
lint: ## gofmt, go vet, staticcheck
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	go vet ./...
	go run honnef.co/go/tools/cmd/staticcheck ./...

build: ## bin/handler for this machine
	$(BUILD) -o bin/handler ./handler

bench: sandbox/node_modules ## speed and memory, as ratios against something run in the same minute; a table at the end
	go test -run '^$$' -bench . -benchmem ./... | tee /dev/stderr | awk -f e2e/bench.awk

race: sandbox/node_modules ## all tests under the race detector
	CGO_ENABLED=1 go test -race -count=1 ./...

# The same sources give the same bytes. ARCH is for trying the package on another machine: Functions plans are amd64.
package: ## dist/app and dist/app.zip: what the function app needs, and nothing else (linux/amd64; DIST= is another folder)
	@mkdir -p $(DIST)
	GOOS=linux GOARCH=$(ARCH) $(BUILD) -o $(DIST)/handler ./handler
	@go run ./infra/package -handler $(DIST)/handler -to $(DIST)
	@rm $(DIST)/handler

publish: ## publish dist/app to the function app APP=<name> (needs Azure Functions Core Tools and az login)
	@test -n "$(APP)" || { echo "say which function app: make publish APP=<name>" >&2; exit 1; }
	@command -v func >/dev/null || { echo "func is not there. Install Azure Functions Core Tools 4 (npm install -g azure-functions-core-tools@4), then az login" >&2; exit 1; }
	@$(MAKE) --no-print-directory package
	cd $(DIST)/app && func azure functionapp publish "$(APP)" --custom

clean: ## remove what was built
	rm -rf bin dist sandbox/node_modules

# npm touches the folder, so an unchanged lock file costs nothing.
sandbox/node_modules: sandbox/package.json sandbox/package-lock.json
	npm ci --prefix sandbox --no-audit --no-fund --loglevel=error
	@touch sandbox/node_modules
