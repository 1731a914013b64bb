# Every target works from a clean clone: `make run` and `make test` are all a newcomer needs.
export GOFLAGS := -tags=duckdb_arrow -buildvcs=false
export CGO_ENABLED := 1

.PHONY: help build run test soak lint bench docs fuzz sample clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

build: ## build bin/elt
	@mkdir -p bin
	go build -trimpath -ldflags '-s -w' -o bin/elt ./cmd/elt

run: build ## build, and run the main job on the sample project
	bin/elt run

test: ## install what is missing, start a throw-away Postgres, run every test
	sh internal/testdb/install.sh
	go test -timeout 60m ./...

SEED := $(or $(SEED),$(shell date +%s))
SOAK := ELT_TEST_SEED=$(SEED) go test -count=1 -v -timeout 12h -tags=duckdb_arrow,soak

soak: ## 10,000 histories, every kill, many cuts of the network, real minutes of rates: hours; see docs/soak.md
	sh internal/testdb/install.sh
	$(SOAK) ./activate -run 'TestRatesOverARealMinute'
	$(SOAK) ./activate -run 'TestInvariant8$$|TestInvariant9$$' -rapid.checks=3400 -rapid.seed=$(SEED)
	$(SOAK) ./activate/http -run 'TestInvariant8' -rapid.checks=240 -rapid.seed=$(SEED)
	$(SOAK) ./activate/file -run 'TestInvariant8' -rapid.checks=1240 -rapid.seed=$(SEED)
	$(SOAK) ./activate/postgres -run 'TestInvariant8' -rapid.checks=1000 -rapid.seed=$(SEED)
	$(SOAK) ./cmd/elt -run 'TestSoak'
	$(SOAK) ./cmd/elt -run 'TestKillsByNight|TestNetworkFaults|TestInvariant6TheReply' -soak

lint: ## format, vet, staticcheck, import rules
	go -C tools build -o ../bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	bin/golangci-lint run ./...

bench: build ## measure each path beside its limit
	go run ./internal/bench

docs: ## write the keys, commands and flags in docs/reference.md
	go test ./cmd/elt -run TestReferenceIsCurrent -update

sample: ## make the sample data again
	go run ./internal/sample testdata/shop

clean: ## remove what was built
	rm -rf bin .elt
