# SPDX-License-Identifier: Apache-2.0
#
# The two commands that matter: `make reproduce` and `make test`. `make help` lists all.

SHELL := /bin/sh
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# A Debian package puts a versioned go outside PATH. The go of go.mod is fetched
# through the module proxy when the installed one is older.
GODIRS := /usr/lib/go-1.26/bin:/usr/lib/go-1.25/bin:/usr/lib/go-1.24/bin:/usr/lib/go-1.23/bin
export PATH := $(PATH):/usr/local/go/bin:$(GODIRS)
export CGO_ENABLED ?= 0

# Versions of the checkers; they are built from the module proxy, not installed.
GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

BIN := bin
LAB := $(BIN)/lab

.PHONY: help deps deps-go ffmpeg kernel lab lab-debug shell test test-go test-overlay test-c test-vm test-debug lint architecture check-kernel \
	reproduce overlay churn fanout against hop bench bench-deps ulsctl-docs overlayd demo overlayd-docs install uninstall test-arm64 abi api api-check clean distclean undeps FORCE

help: ## this list
	@echo 'Sandstream. Targets (times: two cores, no KVM, first run / later):'
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		awk -F'|' '{ printf "%-22s %s\n", $$1, $$2 }'

deps-go: ## install Go and nothing else, if it is missing: all that overlayd needs: 1 min / 0 s
	@lab/deps.sh go

deps: ## install what is missing (Debian packages, Go): 2 min / 1 s
	@lab/deps.sh

$(LAB): deps FORCE
	@go build -trimpath -o $@ ./lab/cmd

kernel: $(LAB) ## the patched kernel: 6 min / 1 s
	@$(LAB) build --kernel

lab: $(LAB) ## kernel, module, libraries, tools and lab image: 7 min / 5 s
	@$(LAB) build

lab-debug: $(LAB) ## the same with KASAN, lockdep and friends: 9 min / 5 s
	@$(LAB) build --variant debug

shell: $(LAB) ## a shell in a booted lab machine; Ctrl-A X leaves: 5 s after make lab
	@$(LAB) shell

test: deps ## lint, Go, C, VM tests, kernel checks; what CI runs: 30 min / 20 min
	@echo 'test: the whole suite takes about 30 minutes the first time, 20 later (two cores, no KVM)' >&2
	@$(MAKE) lint
	@$(MAKE) test-go
	@$(MAKE) test-overlay
	@$(MAKE) lab
	@$(MAKE) test-c
	@$(MAKE) test-vm
	@$(MAKE) check-kernel

# The emulator of an arm64 machine's programs; Debian: qemu-user-static.
QEMU_ARM64 ?= $(shell command -v qemu-aarch64-static || command -v qemu-aarch64)
# What runs anywhere: no network devices, no kernel of ours.
PORTABLE := ./internal/overlay ./internal/overlay/links ./internal/overlay/streams ./internal/overlay/turn ./internal/overlay/wire \
	./internal/overlay/zones ./internal/live/frame ./internal/live/payload ./internal/live/engine ./internal/live/delivery

test-arm64: deps-go ## the portable packages' tests as arm64 programs, and an overlay of both kinds; needs qemu-user-static, else skipped: 15 min
	@if [ -z '$(QEMU_ARM64)' ]; then echo 'test-arm64: SKIP: no qemu-aarch64-static (apt-get install qemu-user-static, or QEMU_ARM64=path)' >&2; \
	else GOARCH=arm64 go test -timeout 30m -exec '$(QEMU_ARM64)' $(PORTABLE) && \
	QEMU_ARM64='$(QEMU_ARM64)' go test -count=1 -run TestMixedArchitectures ./overlayd; fi

lint: deps ## gofumpt, go vet, staticcheck, import rules, the core's size and tests: 2 min / 30 s
	@echo 'lint: gofumpt, go vet, staticcheck, architecture' >&2
	@files=$$(git ls-files '*.go' | while read -r f; do [ -e "$$f" ] && \
		{ head -n 30 "$$f" | grep -q '^// Code generated .* DO NOT EDIT' || echo "$$f"; }; done); \
	 bad=$$(go run $(GOFUMPT) -l $$files) || exit 1; \
	 if [ -n "$$bad" ]; then echo "lint: run gofumpt -w on:" $$bad >&2; exit 1; fi
	@go vet ./...
	@go run $(STATICCHECK) ./...
	@GOARCH=arm64 go vet ./overlayd ./internal/live/... ./internal/overlay/...
	@go run ./internal/architecture lint

architecture: deps ## who imports whom, as text and as docs/pictures/packages.svg: 2 s
	@go run ./internal/architecture deps
	@go run ./internal/architecture svg >docs/pictures/packages.svg.new
	@mv docs/pictures/packages.svg.new docs/pictures/packages.svg
	@echo 'architecture: drawn in docs/pictures/packages.svg' >&2

# The tests of overlayd stream real video.
ffmpeg: deps
	@command -v ffmpeg >/dev/null || { echo 'tests: installing ffmpeg' >&2; if [ "$$(id -u)" = 0 ]; then s=; else s=sudo; fi; \
	$$s apt-get -qq install -y --no-install-recommends ffmpeg >/dev/null; }

test-go: ffmpeg ## Go tests, with the race detector: 3 min / 1 min
	@echo 'test-go: go test -race ./...' >&2
	@CGO_ENABLED=1 go test -race -timeout 15m ./...
	@echo 'test-go: what an idle host takes, a flood of datagrams and the fingerprint of the protocol, without the race detector' >&2
	@go test -count=1 -p 1 -run '^(TestIdleHosts|TestIdleFootprint|TestRandomDatagrams|TestFingerprint)$$' \
		./internal/live/daemon ./internal/live/transport ./internal/overlay/simnet

test-overlay: ffmpeg ## 16 and 48 overlayd on an emulated network: video, contracts, crashes, a partition: 5 min, more if it must try again
	@overlayd/nettest/run.sh TestSixteenHosts TestExchangeOfIDs

test-c: deps ## tests of the C library, on this machine: 1 min
	@if [ -e sandboxlib/Makefile ]; then $(MAKE) -C sandboxlib test; \
	 else echo 'test-c: nothing to do: sandboxlib/ is not in this tree' >&2; fi

test-vm: $(LAB) ## tests in virtual machines: 10 min
	@$(LAB) test --variant lab --out results/vm-tests
	@go build -trimpath -o $(BIN)/experiments ./experiments
	@$(BIN)/experiments repeat --results ''

test-debug: $(LAB) ## the same under KASAN and lockdep; not part of test: 40 min / 30 min
	@$(LAB) test --variant debug --out results/vm-tests-debug

check-kernel: $(LAB) ## checkpatch --strict, sparse, W=1, and the order of files, on our kernel code: 2 min
	@$(LAB) check
	@if [ -e kmod/Makefile ]; then tree=$$($(LAB) tree) && $(MAKE) -C kmod check-generated KSRC="$$tree"; \
	 else echo 'check-kernel: kmod/ is not in this tree' >&2; fi

reproduce: lab ## the paper's tables, quick grid: 45 min / 25 min
	@[ -e experiments/main.go ] || { echo 'reproduce: experiments/ is not in this tree' >&2; exit 1; }
	@go build -trimpath -o $(BIN)/experiments ./experiments
	@for e in throughput jitter upcall; do $(BIN)/experiments $$e || exit; done

overlay: deps ## the overlay's figures at 65,536 hosts, in simulation: 15 min
	@go build -trimpath -o $(BIN)/experiments ./experiments
	@$(BIN)/experiments topology --topology published --seeds 30
	@$(BIN)/experiments regions
	@$(BIN)/experiments penalty
	@$(BIN)/experiments penalty --placement hosts-are-nodes
	@$(BIN)/experiments adaptive

churn: deps ## the live protocol under churn and a partition, 1,000 to 65,536 simulated hosts: 30 min
	@go build -trimpath -o $(BIN)/experiments ./experiments
	@$(BIN)/experiments churn

fanout: deps ## the data path beside gossipsub and nats-server (a module of its own, tested first): 15 min
	@cd experiments/fanout && go vet ./... && go test ./... && go build -trimpath -o ../../$(BIN)/fanout .
	@$(BIN)/fanout

against: deps ## is this tree as fast and as small as REV (make against REV=HEAD~20)? simulation, idle host, fan-out in turn: 15 min
	@experiments/against.sh "$(REV)"

hop: deps ## from command line to command line over one hop, this tree beside REV and iperf3; root: 3 min
	@command -v iperf3 >/dev/null || { if [ "$$(id -u)" = 0 ]; then s=; else s=sudo; fi; \
	$$s apt-get -qq install -y --no-install-recommends iperf3 iproute2 >/dev/null; }
	@experiments/hop.sh "$(REV)"

bench-deps: deps ## what the shortest-path benchmark measures beside us: Boost, igraph
	@if [ "$$(id -u)" = 0 ]; then s=; else s=sudo; fi; \
	$$s apt-get -qq install -y --no-install-recommends g++ libboost-graph-dev libigraph-dev >/dev/null

bench: bench-deps ## shortest paths beside Boost, igraph and gonum; 65,536 to 16,777,216 hosts: 5 min
	@go build -trimpath -o $(BIN)/experiments ./experiments
	@$(BIN)/experiments bench

overlayd: deps-go ## the overlay's daemon and tool, one static binary; needs Go alone: 30 s / 1 s
	@CGO_ENABLED=0 go build -trimpath -o $(BIN)/overlayd ./overlayd

demo: overlayd ## five hosts of the overlay on this machine; bin/overlayd demo --dir bin/demo --stop ends them: 5 s
	@$(BIN)/overlayd demo --dir $(BIN)/demo

overlayd-docs: overlayd ## man pages and shell completion of overlayd, into bin/overlayd-docs
	@$(BIN)/overlayd gen-docs $(BIN)/overlayd-docs

PREFIX  ?= /usr/local
DESTDIR ?=
UNITDIR ?= $(PREFIX)/lib/systemd/system
# Where each file of the installation comes from, but for the man pages and the unit.
INSTALLED := bin/overlayd share/bash-completion/completions/overlayd share/zsh/site-functions/_overlayd \
	share/fish/vendor_completions.d/overlayd.fish

install: overlayd-docs ## overlayd, its unit, man pages and shell completion, below DESTDIR and PREFIX (/usr/local)
	@d='$(DESTDIR)$(PREFIX)'; \
	install -D -m 755 $(BIN)/overlayd "$$d/bin/overlayd" && \
	install -D -m 644 -t "$$d/share/man/man8" $(BIN)/overlayd-docs/man/*.8 && \
	install -D -m 644 $(BIN)/overlayd-docs/completion/overlayd.bash "$$d/share/bash-completion/completions/overlayd" && \
	install -D -m 644 -t "$$d/share/zsh/site-functions" $(BIN)/overlayd-docs/completion/_overlayd && \
	install -D -m 644 -t "$$d/share/fish/vendor_completions.d" $(BIN)/overlayd-docs/completion/overlayd.fish && \
	install -d '$(DESTDIR)$(UNITDIR)' && \
	sed 's|/usr/bin/overlayd|$(PREFIX)/bin/overlayd|' overlayd/overlayd.service >'$(DESTDIR)$(UNITDIR)/overlayd.service' && \
	chmod 644 '$(DESTDIR)$(UNITDIR)/overlayd.service'
	@echo "install: overlayd is in $(DESTDIR)$(PREFIX)/bin; settings belong in /etc/sandstream/overlayd.yaml (see $(DESTDIR)$(UNITDIR)/overlayd.service), then: systemctl daemon-reload; systemctl enable --now overlayd" >&2

uninstall: ## take away what make install put below DESTDIR and PREFIX; settings and state stay
	@for f in $(INSTALLED); do rm -f "$(DESTDIR)$(PREFIX)/$$f"; done; \
	rm -f '$(DESTDIR)$(PREFIX)/share/man/man8/overlayd.8' '$(DESTDIR)$(PREFIX)'/share/man/man8/overlayd-*.8 '$(DESTDIR)$(UNITDIR)/overlayd.service'

abi: $(LAB) ## generate kmod/generated, uls/internal/abi and docs/abi.md from kmod/uapi: 10 s after make kernel
	@tree=$$($(LAB) tree) && $(MAKE) -C kmod generate KSRC="$$tree"

api: ## generate overlayapi/overlayv1 from overlay.proto; needs Debian's protobuf-compiler
	@overlayapi/generate.sh

api-check: ## is overlayapi/overlayv1 what overlay.proto gives?
	@go test -count 1 -run TestGenerated ./overlayapi

ulsctl-docs: deps ## man pages and shell completion of ulsctl, into bin/ulsctl-docs
	@go run ./ctl gen-docs $(BIN)/ulsctl-docs

clean: ## remove what was built in this folder
	rm -rf $(BIN) results/vm-tests
	@if [ -e sandboxlib/Makefile ]; then $(MAKE) -C sandboxlib clean; fi

distclean: clean ## and the cache outside it (kernel sources and objects, 3 GB)
	rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/sandstream"

undeps: ## take back the package source that `make deps` may have added
	@f=/etc/apt/sources.list.d/sandstream-backports.list; \
	if [ ! -e $$f ]; then echo 'undeps: nothing to undo'; \
	elif [ "$$(id -u)" = 0 ]; then rm -v $$f; else sudo rm -v $$f; fi
