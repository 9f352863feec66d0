# Ghostwriter's commands. `make help` lists them; every one works offline after the first that needed the library.
#
# The onnxruntime library is fetched with npm or pip into the user's cache (tools/getort), unless GHOSTWRITER_ORT_LIB
# names one. A C compiler is needed for runtime/ort.

SHELL     := bash
GO        ?= go
FUZZTIME  ?= 30s
BENCH     ?= .
COUNT     ?= 6
RACE      ?= ./...

# For golden only: PYTHON serves both exporters unless they have one of their own.
PYTHON_TS  ?= $(PYTHON)
PYTHON_DYN ?= $(PYTHON)
export PYTHON_TS PYTHON_DYN

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help library gpu-library gpu-test build demo mpi mpi-test mpi-there clients test unit race lint slow-test fuzz bench golden export-matrix experiments-smoke clean

help: ## list the targets and their settings
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | while IFS='|' read -r name what; do printf '  make %-10s %s\n' "$$name" "$$what"; done

library: ## fetch the onnxruntime library, check it and cache it
	@$(GO) run ./tools/getort

gpu-library: ## fetch the onnxruntime library for NVIDIA GPUs (250 MB), for --device cuda
	@$(GO) run ./tools/getort -cuda

build: library ## build bin/ghostwriter
	$(GO) build -trimpath -o bin/ghostwriter ./tools/ghostwriter

mpi: library mpi-there ## build bin/ghostwriter-mpi, for several processes under mpirun (docs/distributed.md)
	$(GO) build -trimpath -tags mpi -o bin/ghostwriter-mpi ./tools/ghostwriter

mpi-test: library mpi-there ## the tests of runs by several processes, under mpirun
	$(GO) vet -tags 'mpi slow' ./runtime/mpi ./tools/ghostwriter
	$(GO) tool staticcheck -tags 'mpi slow' ./runtime/mpi ./tools/ghostwriter
	$(GO) test -tags 'mpi slow' -count 1 -timeout 20m -run 'MPI|World|Local' ./runtime/mpi ./tools/ghostwriter

mpi-there:
	@pkg-config --exists ompi-c 2>/dev/null || { echo "Open MPI's headers are missing: apt-get install libopenmpi-dev openmpi-bin pkg-config (or its like); pkg-config must know ompi-c"; exit 1; }

demo: build ## fine-tune a small GPT-2 privately, under three minutes
	$(GO) run ./tools/demo

experiments-smoke: build ## two small studies, methods and batch by learning rate, and one report of them: out/experiments-smoke.html
	bin/ghostwriter sweep --config tools/experiments/smoke-methods.yaml --out out/smoke-methods
	bin/ghostwriter sweep --config tools/experiments/smoke-figure2.yaml --out out/smoke-figure2
	bin/ghostwriter report out/smoke-methods out/smoke-figure2 -o out/experiments-smoke.html

# What npm can't install is skipped. Without a browser, promtool or grpcurl their part is.
clients: build ## let clients of others use what is built here: openai, transformers.js, Chromium, grpcurl and more
	@cd tools/clients && npm ci --ignore-scripts --no-audit --no-fund --silent || echo "clients: npm could not install its packages; they are skipped"
	$(GO) run ./tools/clients --ghostwriter bin/ghostwriter

test: library lint unit race ## all checks and fast tests: what CI runs

unit: library
	$(GO) test -timeout 20m ./...

# -short leaves out tests that only compute for long; the race detector makes those many times slower and finds nothing.
race: library
	$(GO) test -race -short -timeout 30m $(RACE)

# Without a GPU every test says what is missing and is skipped. GHOSTWRITER_ORT_LIB may name another GPU build.
gpu-test: ## the tests that need a GPU: make gpu-library first
	@lib="$${GHOSTWRITER_ORT_LIB:-$$($(GO) run ./tools/getort -cuda)}" && export GHOSTWRITER_ORT_LIB="$$lib" && \
	  $(GO) test -count=1 -v -run 'GPU' -timeout 30m ./runtime/ort ./runtime

lint: ## go vet, staticcheck and gofmt, slow tests included
	$(GO) vet -tags slow ./...
	$(GO) tool staticcheck -tags slow ./...
	@bad=$$(gofmt -l .); if [ -n "$$bad" ]; then echo "gofmt: not formatted:"; echo "$$bad"; exit 1; fi

slow-test: library ## the fast tests and those behind the build tag slow
	$(GO) test -tags slow -timeout 0 ./...

fuzz: library ## every fuzz target for FUZZTIME (30s) each
	@$(GO) list -f '{{.Dir}} {{.ImportPath}}' ./... | { failed=; while read -r dir package; do \
	  for target in $$(grep -hoE '^func Fuzz[[:alnum:]_]*\(' "$$dir"/*_test.go 2>/dev/null | sed -E 's/^func (.*)\(/\1/' | sort -u); do \
	    echo "== $$package $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$package" </dev/null || failed="$$failed $$package.$$target"; \
	  done; \
	done; if [ -n "$$failed" ]; then echo "failed:$$failed"; exit 1; fi; }

# The last run is kept as out/bench-before.txt, so that `benchstat out/bench-before.txt out/bench.txt` shows the ratios.
bench: library ## benchmarks matching BENCH (.), COUNT (6) times each, into out/bench.txt
	@mkdir -p out; if [ -f out/bench.txt ]; then mv out/bench.txt out/bench-before.txt; fi
	set -o pipefail; $(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) -timeout 0 ./... | tee out/bench.txt
	@if [ -f out/bench-before.txt ]; then echo "compare: benchstat out/bench-before.txt out/bench.txt"; fi

golden: ## regenerate the fixtures with PYTHON, or PYTHON_TS and PYTHON_DYN (testdata/gen/README.md)
	@found=; for script in $$(find . -name golden.sh -path '*testdata*' | sort); do found=1; echo "== $$script"; bash "$$script" || exit 1; done; \
	if [ -z "$$found" ]; then echo "no golden.sh beside any testdata"; exit 1; fi

# What is in out/matrix stays as it is; FORCE=1 exports it again. Without a Python only what is there is run.
export-matrix: build ## run Ghostwriter on many architectures and exporters, exported by PYTHON_TS and PYTHON_DYN into out/matrix
	@export OUT=$(CURDIR)/out/matrix TRANSFORMERS_VERBOSITY=error TRANSFORMERS_OFFLINE=1 HF_HUB_OFFLINE=1 PYTHONDONTWRITEBYTECODE=1; \
	if [ -n "$(PYTHON_TS)" ]; then $(PYTHON_TS) testdata/gen/matrix.py --python ts || exit 1; fi; \
	if [ -n "$(PYTHON_DYN)" ]; then $(PYTHON_DYN) testdata/gen/matrix.py --python dyn || exit 1; fi
	$(GO) run ./tools/exportmatrix --write --keep out/matrix
	@export OUT=$(CURDIR)/out/matrix PYTHONDONTWRITEBYTECODE=1; \
	if [ -n "$(PYTHON_DYN)" ]; then $(PYTHON_DYN) testdata/gen/matrix_written.py && $(PYTHON_DYN) testdata/gen/matrix_train.py bin/ghostwriter; fi

clean: ## remove bin/ and out/; the cached library stays
	rm -rf bin out
