# Permafrost. `make` alone lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help build demo test test-pure test-servers test-all bench bench-distant bench-hosts format lint check check-crds check-monitoring
.PHONY: clean e2e images install

PREFIX ?= /usr/local
RELEASE = swift build -c release --static-swift-stdlib

# Need nothing but the build; the others start PostgreSQL, pgBackRest and our own programs.
PURE = ArchiveShortcut|BackupModel|Checksums|PostgresFormats|RepositoryFormats|StreamFilters|Storage|BackupEngine|Telemetry
# Apart from them, for what they talk to is in the tests and has time limits.
LOCAL = ArchiveAgent|CertificateAuthority|Jobs|Monitoring|ObjectStorage|RepositoryHost
# Alone: ten thousand connections, and peers that wait for each other.
NETWORK = HTTP
# Alone: leases that are a matter of seconds, and kubectl.
CLUSTER = KubernetesClient|BackupOperator
SERVER_SUITES = CommandLine|Postgres|StoreServer|TwoMachines|KubernetesNode|Interop
# A target may use only what Package.swift says it uses.
TEST = swift test --explicit-target-dependency-import-check error

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## install what the build needs; build bin/permafrost and libexec/permafrost/permafrost
	scripts/bootstrap build
	$(RELEASE) --product permafrost
	$(RELEASE) --product permafrost-launcher
	@mkdir -p bin libexec/permafrost
	@release=$$($(RELEASE) --show-bin-path); \
	install --strip --mode=755 "$$release/permafrost" libexec/permafrost/permafrost; \
	install --strip --mode=755 "$$release/permafrost-launcher" bin/permafrost
	@ls -l bin/permafrost libexec/permafrost/permafrost

demo: build ## back up and restore a database of its own, before your eyes
	scripts/demo

test: build ## all tests, the pure ones first; installs the servers and referees that they use
	scripts/bootstrap test
	@$(MAKE) --no-print-directory test-pure test-servers

test-pure: ## tests without servers
	$(TEST) --filter '^($(PURE))Tests\.'
	$(TEST) --skip-build --filter '^($(LOCAL))Tests\.'
	$(TEST) --skip-build --filter '^($(NETWORK))Tests\.'
	$(TEST) --skip-build --filter '^($(CLUSTER))Tests\.'

test-servers: ## tests with PostgreSQL, pgBackRest and the programs in bin/, which must have been built
	$(TEST) --no-parallel --filter '^($(SERVER_SUITES))Tests\.'

test-all: build ## every row of the test tables, all PostgreSQL versions
	scripts/bootstrap test
	@PERMAFROST_ALL=1 $(MAKE) --no-print-directory test-pure test-servers

bench: build ## side by side with pgBackRest
	scripts/bootstrap test
	Benchmarks/compare

bench-distant: build ## the same on S3 that is 30 ms away
	scripts/bootstrap test
	Benchmarks/distant

bench-hosts: build ## a repository host on loopback beside a directory, and beside pgBackRest's
	scripts/bootstrap test
	Benchmarks/hosts

format: ## lay the Swift sources out
	swift format --in-place --parallel --recursive Sources Tests Package.swift

lint: ## whether the Swift sources are laid out
	swift format lint --strict --parallel --recursive Sources Tests Package.swift

check: lint ## lint, and the rules that a compiler does not know
	scripts/check

check-crds: ## deploy/ judged by the Kubernetes that KUBECONFIG names; deletes what it makes
	scripts/check-crds

clean: ## remove all that was built
	rm -rf .build bin libexec

check-monitoring: ## alerts and dashboard, by promtool of scripts/bootstrap test
	scripts/check-monitoring

e2e: ## the operator on the Kubernetes that KUBECONFIG names, whose nodes must have the images; writes docs/evidence
	scripts/e2e

images: build ## container images, in .build/images
	scripts/images

install: ## install what was built under PREFIX (/usr/local), with manual page, completions and units
	install -D --mode=755 bin/permafrost "$(DESTDIR)$(PREFIX)/bin/permafrost"
	install -D --mode=755 libexec/permafrost/permafrost "$(DESTDIR)$(PREFIX)/libexec/permafrost/permafrost"
	for name in kubectl-permafrost kubectl_complete-permafrost; do ln -sf permafrost "$(DESTDIR)$(PREFIX)/bin/$$name"; done
	@share="$(DESTDIR)$(PREFIX)/share"; \
	mkdir -p "$$share"/{man/man1,bash-completion/completions,zsh/site-functions,fish/vendor_completions.d}; \
	bin/permafrost help --man > "$$share/man/man1/permafrost.1"; \
	bin/permafrost completion bash > "$$share/bash-completion/completions/permafrost"; \
	bin/permafrost completion zsh > "$$share/zsh/site-functions/_permafrost"; \
	bin/permafrost completion fish > "$$share/fish/vendor_completions.d/permafrost.fish"; \
	mkdir -p "$(DESTDIR)$(PREFIX)/lib/systemd/system"; \
	for unit in packaging/systemd/*.service; do \
	    sed 's|/usr/local|$(PREFIX)|' "$$unit" > "$(DESTDIR)$(PREFIX)/lib/systemd/system/$${unit##*/}"; \
	done
