# make demo, make test, make lint, make bench, make fuzz, make build. Only Go is needed for the demo and the build;
# the tests set up the servers they need (see scripts/servers), or use the ones that the environment names.
SHELL := /bin/bash
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
COMPOSE := github.com/compose-spec/compose-go/v2/cmd@v2.16.2
FUZZTIME ?= 20s

.PHONY: demo build test test-versions short lint bench fuzz clean

demo: ## a real PostgreSQL, Kafka, a connector and a sink in one process; Ctrl-C ends it
	@go run ./cmd/millrace demo $(ARGS)

build: ## bin/millrace, one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/millrace ./cmd/millrace

test: ## everything, against real servers; screenshots of the page's test stay in .work/screenshots
	@scripts/test

test-versions: ## the PostgreSQL source against PostgreSQL 14 to 18 (ARGS="15 17" for some)
	@scripts/versions $(ARGS)

short: ## what needs no servers, quickly
	go test -short ./...

lint: ## formatting, vet, golangci-lint, the compose file (as docker compose config reads it)
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "not gofmt'ed:"; echo "$$out"; exit 1; }
	go vet ./...
	go run $(GOLANGCI) run ./...
	@go run $(COMPOSE) docker-compose.yml >/dev/null && echo "docker-compose.yml: well formed"

bench: ## millrace against pg_recvlogical and COPY, as in README.md
	@scripts/bench $(ARGS)

fuzz: ## every fuzz target for FUZZTIME
	@scripts/fuzz $(FUZZTIME)

clean:
	rm -rf bin dist
