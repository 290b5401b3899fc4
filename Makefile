# An index: what each target does is in scripts/. `make help` prints it.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help build image up down unit test e2e matrix simulation fuzz bench mutants demo k8s docs lint vuln clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/baton, static and stripped
	@scripts/build

image: ## the container image for amd64 and arm64, in dist/ (PUSH=REF publishes it)
	@scripts/image/build "$(PUSH)"

up: ## a three-node kind cluster with the chart on it, and events that flow
	@go build -o bin/up ./scripts/up && exec bin/up

down: ## remove it, and all that `make up` made
	@go build -o bin/up ./scripts/up && exec bin/up -down

unit: ## the fast tests, under a minute warm
	@scripts/unit

test: ## everything that must hold: lint, unit, simulation, fault matrix, mutants, docs; under 15 minutes warm
	@scripts/test

e2e: ## the suite on kind: the leader killed in every way there is (FAULT=name for one, on a cluster that is kept)
	@scripts/e2e "$(FAULT)"

matrix: k8s ## the fault matrix against a real API server (RUN=regexp for some cells, WRITE=file for the table)
	@scripts/matrix "$(RUN)"

simulation: ## 10,000 random schedules of the election (SCHEDULES=n for another number)
	@scripts/simulation "$(SCHEDULES)"

fuzz: ## each fuzz test for FUZZTIME (default 10s)
	@scripts/fuzz "$(FUZZTIME)"

bench: k8s ## the numbers of docs/numbers.md, measured again (RUN=regexp for some, WRITE=file to write them)
	@scripts/bench "$(RUN)" -write "$(WRITE)"

mutants: ## break the code on purpose; each time a named test must turn red (M=name for one)
	@go run ./scripts/mutants -only "$(M)"

demo: ## three agents against a real API server, and a leader that is killed
	@go build -o bin/demo ./scripts/demo && exec bin/demo

k8s: ## build kube-apiserver and etcd, once (about 5 minutes), and say where they are
	@scripts/k8s/build

docs: ## write the generated documents again
	@go generate ./...

lint: ## go vet, golangci-lint, gofmt, go mod tidy
	@scripts/lint

vuln: ## known vulnerabilities in what the binary is made of
	@scripts/vuln

clean: ## remove what was built here (the cache of Kubernetes and the linters stays)
	@rm -rf bin dist coverage.out
