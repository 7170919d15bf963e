# One line a target; `make help` prints them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BUILD := CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)"

# What the demo reads; empty is its default. See sandbox/README.md.
export DATA CHAOS KEEP SEED RESOURCES

.PHONY: help demo test lint build bench race package clean

help: ## what there is to make
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-9s %s\n", $$1, $$2}'

demo: sandbox/node_modules ## migrate five years of data between two FHIR services on this machine (DATA= CHAOS=1 KEEP=1 SEED= RESOURCES=)
	$(BUILD) -o bin/ ./handler ./sandbox
	@bin/sandbox

test: lint build sandbox/node_modules ## all tests; none is skipped
	go test -count=1 ./...

lint: ## gofmt, go vet, staticcheck
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	go vet ./...
	go tool staticcheck ./...

build: ## bin/handler for this machine
	$(BUILD) -o bin/handler ./handler

bench: sandbox/node_modules ## speed and memory, as ratios against something run in the same minute
	go test -run '^$$' -bench . -benchmem ./...

race: sandbox/node_modules ## all tests under the race detector
	CGO_ENABLED=1 go test -race -count=1 ./...

package: ## dist/app.zip: what the function app needs, and nothing else (linux/amd64)
	rm -rf dist && mkdir -p dist/app/bin
	GOOS=linux GOARCH=amd64 $(BUILD) -o dist/app/bin/handler ./handler
	cp host.json dist/app/
	for f in */function.json; do mkdir -p "dist/app/$$(dirname "$$f")" && cp "$$f" "dist/app/$$f"; done
	cd dist/app && zip -q -r ../app.zip .

clean: ## remove what was built
	rm -rf bin dist sandbox/node_modules

# npm touches the folder, so an unchanged lock file costs nothing.
sandbox/node_modules: sandbox/package.json sandbox/package-lock.json
	npm ci --prefix sandbox --no-audit --no-fund --loglevel=error
	@touch sandbox/node_modules
