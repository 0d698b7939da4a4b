# make help lists the targets.

PORT     ?= 5353
FUZZTIME ?= 30s
CHECKS   ?= 5000
BENCH    ?= .
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null)

GO      ?= go
LDFLAGS := -s -w -X main.version=$(VERSION)
# The IPv6 loopback address, on machines that have one.
LISTEN6 := $(shell grep -qs ' lo$$' /proc/net/if_inet6 && echo "--listen '[::1]:$(PORT)'")

.DEFAULT_GOAL := build
.PHONY: build run test lint bench fuzz conformance pgo world clean help

build: ## build bin/geodns (what plain make does)
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/geodns ./cmd/geodns

run: build ## serve zones/ on 127.0.0.1 and ::1, port PORT=5353
	bin/geodns serve --config zones/geodns.yaml --listen 127.0.0.1:$(PORT) $(LISTEN6)

test: ## install what the tests need (scripts/deps), and run them
	scripts/deps
	$(GO) test ./...

lint: ## format, vet, staticcheck and the rules of the house
	scripts/lint

bench: ## benchmarks, BENCH=pattern
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

fuzz: ## every fuzz target, FUZZTIME=30s each
	GO='$(GO)' scripts/fuzz $(FUZZTIME)

conformance: ## all tests again, each property on CHECKS=5000 random cases
	scripts/deps
	RAPID_CHECKS=$(CHECKS) GEODNS_TEST_EDITS=2000 $(GO) test -count=1 -timeout 60m ./...

# The compiler inlines what the profile shows to be hot: 6 % less CPU an answer.
pgo: ## renew the profile that the compiler optimises by
	d=$$(mktemp -d) && \
	$(GO) test -trimpath -run '^$$' -bench Answer -benchtime 3s -cpuprofile $$d/server.prof -o $$d/server.test ./internal/server && \
	$(GO) test -trimpath -run '^$$' -bench 'Query|SteeredOverPlain/(near|all)-4' -benchtime 2s -cpuprofile $$d/resolver.prof -o $$d/resolver.test ./internal/resolver && \
	$(GO) tool pprof -proto $$d/server.prof $$d/resolver.prof > cmd/geodns/default.pgo && rm -r $$d

world: ## renew the built-in world, of Debian's tor-geoipdb
	$(GO) generate ./internal/geo/builtin

clean: ## remove what was built
	rm -rf bin run

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
