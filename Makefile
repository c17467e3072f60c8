# make help says what there is.
GO          ?= go
STATICCHECK ?= $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
VERSION     := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
BUILD       := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)'
FUZZTIME    ?= 10s
FUZZCPU     ?= 10
TORTURE     ?= 2000
SEED        ?= 1
SOAK        ?= 100000

# Where make install puts things, below DESTDIR.
prefix      ?= /usr/local
bindir      ?= $(prefix)/bin
libexecdir  ?= $(prefix)/libexec
mandir      ?= $(prefix)/share/man
docdir      ?= $(prefix)/share/doc/postlmtp
bashdir     ?= $(prefix)/share/bash-completion/completions
zshdir      ?= $(prefix)/share/zsh/site-functions
fishdir     ?= $(prefix)/share/fish/vendor_completions.d
MANUALS     := postlmtp.1 postlmtp.5 postlmtp-lmtp.8

NFPM            ?= $(GO) run github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0
PACKAGE_VERSION ?= 0.$(shell git rev-list --count HEAD 2>/dev/null || echo 0)
PACKAGE_ARCH    ?= $(shell $(GO) env GOARCH)

.PHONY: help build install uninstall packages package-test check format vet lint unit race test matrix diff scenarios demo fuzz dependencies reproducible torture soak bench microbench clean

help: ## Say what there is.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t14

build: ## Build the static binaries bin/lmtp (the daemon) and bin/postlmtp (the tool).
	$(BUILD) -o bin/lmtp ./cmd/lmtp
	$(BUILD) -o bin/postlmtp ./cmd/postlmtp

install: build ## Install programs, manuals, documents and completion below DESTDIR and prefix; changes no Postfix.
	install -d $(addprefix $(DESTDIR),$(bindir) $(libexecdir)/postlmtp $(docdir) $(bashdir) $(zshdir) $(fishdir))
	install -m 755 bin/postlmtp $(DESTDIR)$(bindir)/postlmtp
	install -m 755 bin/lmtp $(DESTDIR)$(libexecdir)/postlmtp/lmtp
	for m in $(MANUALS); do \
	  install -d $(DESTDIR)$(mandir)/man$${m##*.} && \
	  install -m 644 docs/man/$$m $(DESTDIR)$(mandir)/man$${m##*.}/$$m || exit 1; done
	install -m 644 README.md LICENSE $(DESTDIR)$(docdir)
	cd docs && find . -type f ! -path './man/*' ! -name '*.go' -exec install -D -m 644 {} $(DESTDIR)$(docdir)/docs/{} \;
	bin/postlmtp completion bash >$(DESTDIR)$(bashdir)/postlmtp
	bin/postlmtp completion zsh >$(DESTDIR)$(zshdir)/_postlmtp
	bin/postlmtp completion fish >$(DESTDIR)$(fishdir)/postlmtp.fish

uninstall: ## Remove what make install has put there; postlmtp uninstall takes the daemon out of Postfix first.
	rm -f $(addprefix $(DESTDIR),$(bindir)/postlmtp $(bashdir)/postlmtp $(zshdir)/_postlmtp $(fishdir)/postlmtp.fish)
	rm -f $(foreach m,$(MANUALS),$(DESTDIR)$(mandir)/man$(subst .,,$(suffix $(m)))/$(m))
	rm -rf $(DESTDIR)$(libexecdir)/postlmtp $(DESTDIR)$(docdir)

packages: build ## Build bin/*.deb and bin/*.rpm.
	rm -rf bin/package bin/*.deb bin/*.rpm
	$(MAKE) install DESTDIR=$(CURDIR)/bin/package prefix=/usr zshdir=/usr/share/zsh/vendor-completions
	rm -r bin/package/usr/libexec
	gzip -9n bin/package/usr/share/man/man*/*
	for kind in deb rpm; do PACKAGE_VERSION=$(PACKAGE_VERSION) PACKAGE_ARCH=$(PACKAGE_ARCH) \
	  $(NFPM) package -f .nfpm.yaml -p $$kind -t bin/ || exit 1; done

package-test: ## Install, upgrade, downgrade and remove the packages on Debian releases with a running Postfix (root).
	@sh .ci/packages

check: format vet lint unit ## Format, vet, staticcheck, layers; unit tests with the race detector, scenarios with the daemon as it is shipped.

format:
	@out=$$(gofmt -l cmd internal); if [ -n "$$out" ]; then echo "not formatted:"; echo "$$out"; exit 1; fi

vet:
	$(GO) vet ./...

lint:
	$(STATICCHECK) ./...

unit:
	$(GO) test -race $$($(GO) list ./... | grep -v '/internal/e2e$$')

race: ## The daemon itself with the race detector: parallel load, 20 runs of faults, 1,000 deliveries of mixed traffic.
	@GO="$(GO)" .ci/race

test: ## The full suite: check, race, diff, then the tests on a real Postfix and Dovecot (installs them: root, Debian).
	bash .ci/install
	$(MAKE) check
	$(MAKE) race
	$(MAKE) diff
	sh .ci/makeinstall
	POSTLMTP_E2E_SLOW=60s $(GO) test -count=1 -timeout 20m ./internal/e2e

RELEASES ?= bullseye bookworm trixie sid

matrix: ## Scenarios and end-to-end tests in the roots of Debian's releases; writes docs/compatibility.md.
	@sh .ci/matrix $(RELEASES)

POSTFIX_LMTP    ?= /usr/lib/postfix/sbin/lmtp
POSTFIX_RELEASE ?= $(shell postconf -dh mail_version 2>/dev/null)
SCENARIOS       ?= testdata/scenarios/*.txt

diff: build ## Run the scenarios with Postfix's own lmtp and with ours, and compare them facet by facet, and with what the files say.
	@$(GO) build -o bin/compare ./internal/lab/compare
	@bin/compare --postfix $(POSTFIX_LMTP) --release "$(POSTFIX_RELEASE)" $(SCENARIOS)

scenarios: build ## Write what the scenarios expect anew, from Postfix's own lmtp.
	@$(GO) build -o bin/compare ./internal/lab/compare
	@bin/compare --postfix $(POSTFIX_LMTP) --release "$(POSTFIX_RELEASE)" --update $(SCENARIOS)

demo: build ## Deliver mail on embedded parts: no root, no Postfix.
	@bin/postlmtp demo

fuzz: ## Fuzz each parser of outside bytes for FUZZCPU (10) seconds of processor time, going on where it stopped.
	@GO="$(GO)" FUZZCPU=$(FUZZCPU) FUZZTIME=$(FUZZTIME) .ci/fuzz $(FUZZ)

dependencies: ## Write docs/dependencies.md anew, from go.mod and the modules' licences.
	@$(GO) test -run TestDependencies ./internal -args -update-dependencies

reproducible: ## Build HEAD twice, in two places, and compare the bytes.
	@bash .ci/reproducible

torture: ## Break everything around the daemon at random, TORTURE (2000) times, and count what became of the mail.
	@mkdir -p bin
	POSTLMTP_TORTURE_RUNS=$(TORTURE) POSTLMTP_TORTURE_SEED=$(SEED) POSTLMTP_TORTURE_REPORT=$(CURDIR)/bin/torture.md \
	  $(GO) test -count=1 -parallel 16 -timeout 2h -run '^TestTorture$$' ./internal/torture
	@cat bin/torture.md

soak: ## SOAK (100,000) deliveries of mixed traffic through one daemon, whose memory and descriptors stay flat.
	POSTLMTP_SOAK=$(SOAK) $(GO) test -v -count=1 -timeout 2h -run '^TestSoak$$' ./internal/torture

bench: build ## Ours beside Postfix's own lmtp, in less than a minute; BENCH=--full for all loads.
	@bin/postlmtp bench $(BENCH)

microbench: ## Benchmarks of the parts, with their allocations.
	$(GO) test -run '^$$' -bench . -benchmem ./internal/...

clean: ## Remove what make made.
	rm -rf bin .cache
