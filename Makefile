# make check is all that must hold at every commit. A missing tool fails; nothing
# is left out in silence.

GO       ?= go
PYTHON   ?= python3
FUZZTIME ?= 1m
SEEDS    ?= 1000
TOOL      = $(GO) tool -modfile=tools/go.mod
# What ./... leaves out, because the go tool does not look into testdata.
VECTORS   = ./testdata/vectors/generate

.PHONY: check format vet staticcheck test race vectors fuzz fuzz-smoke sim torture seeds bench cover vuln build

check: format vet staticcheck test race vectors seeds fuzz-smoke
	@echo "make check: everything holds"

format:
	@unformatted=$$(gofmt -l .) && if [ -n "$$unformatted" ]; then \
		echo "gofmt would change:"; echo "$$unformatted"; echo "hint: gofmt -w ."; exit 1; fi

vet:
	$(GO) vet ./... $(VECTORS)

staticcheck:
	$(TOOL) staticcheck ./... $(VECTORS)

test:
	$(GO) test ./...

race:
	$(GO) test -race -shuffle=on -short -timeout 15m ./...

# The generator makes every case again and compares; the reader shares no code
# with us and must come to the same verdicts.
vectors:
	$(GO) run $(VECTORS) -check
	$(PYTHON) testdata/vectors/reader/reader.py

# The fixed list of seeds, with its table. The name is looked up first: go test
# is content when a pattern finds nothing.
seeds:
	@$(GO) test -list 'TestSeeds$$' ./internal/sim | grep -q TestSeeds || { echo "internal/sim has no TestSeeds"; exit 1; }
	$(GO) test -count=1 -v ./internal/sim -run 'TestSeeds$$'

# A number of inputs, not of seconds: with a time limit the go tool now and then
# reports "context deadline exceeded" though no input failed.
fuzz-smoke:
	tools/fuzz 1000x

fuzz:
	tools/fuzz $(FUZZTIME)

# The long run: SEEDS seeds of 30 routers, the same with crashes that leave the
# store, and one run of 1,000 routers.
sim:
	$(GO) test -count=1 -timeout 2h -v ./internal/sim -run 'TestRange$$' -seeds=$(SEEDS) -routers=30
	$(GO) test -count=1 -timeout 2h -v ./internal/sim -run 'TestRange$$' -seeds=$(SEEDS) -routers=30 -durable
	$(GO) test -count=1 -timeout 2h -v ./internal/sim -run 'TestThousandRouters$$' -routers=1000

# The long form of what the store's tests do in short: power cuts, failing disks,
# flipped bytes, kill -9.
torture:
	$(GO) test -count=1 -timeout 2h -v ./internal/store/disk -torture

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

cover:
	$(GO) test -short -coverprofile=cover.out ./...
	$(GO) tool cover -func=cover.out | tail -n 1

# VULNDB=file:///path uses a copy of the database instead of the network.
vuln:
	$(TOOL) govulncheck -version $(if $(VULNDB),-db $(VULNDB)) ./...

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o upsycle ./cmd/upsycle
