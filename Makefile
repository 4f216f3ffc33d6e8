# Trivet: build, run and test on Debian 12 with Go.
#
#   make run     build, then start a Standard Edition in ./trivet-data with demo users
#   make test    everything: gofmt, vet, floors, unit, interop and pool tests (installs the peers it needs)
#   make race    unit tests under the race detector
#   make fuzz    every fuzz target for FUZZTIME (default 60s)
#   make deb     a Debian package in build/ (VERSION=1.2.3 names its version)
#   make bench   every duel of bench/, each ending in a line "ratio NAME VALUE goal G"

GO       ?= go
FUZZTIME ?= 60s
export CGO_ENABLED = 0

# Foreign programs that the interop suite talks to.
PEERS = gcc make pkg-config libpurple-dev libjson-glib-dev libxml2-dev pidgin-sipe \
        sipvicious sip-tester baresip linphone-cli krb5-kdc krb5-admin-server krb5-user slapd ldap-utils postgresql-15 \
        lintian mandoc bash-completion zsh fish

.PHONY: build run test torture unit interop check race fuzz bench peers deb clean

build: trivet

.PHONY: trivet
trivet:
	$(GO) build -o trivet ./cmd/trivet

run: trivet
	./trivet run --demo $(RUNFLAGS)

test: peers check torture unit interop

check:
	@test -z "$$(gofmt -l .)" || { echo "not gofmt'ed:"; gofmt -l .; exit 1; }
	$(GO) vet ./...

# The published torture messages with the verdict on each, as tables.
torture:
	$(GO) test -count=1 -v -run Torture ./wire/sip ./test/server

unit:
	$(GO) test -timeout 15m $$($(GO) list ./... | grep -Ev '/test/(interop|drill)$$')

interop: trivet
	$(GO) test -timeout 20m -v ./test/interop
	$(GO) test -timeout 20m -v ./test/drill

race:
	CGO_ENABLED=1 $(GO) test -race -timeout 30m $$($(GO) list ./... | grep -Ev '/test/(interop|drill)$$')

fuzz:
	@for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep ^Fuzz); do \
	    echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
	  done; done

bench:
	@missed=; for duel in $$(bench/run --list); do bench/run $$duel || missed="$$missed $$duel"; done; \
	[ -z "$$missed" ] || { echo "not reached:$$missed"; exit 1; }

# Debian packages are installed when they are missing and we may.
peers:
	@missing=$$(for p in $(PEERS); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  echo "installing" $$missing; \
	  if [ "$$(id -u)" = 0 ]; then SUDO=; else SUDO=sudo; fi; \
	  $$SUDO apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$SUDO apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi

# The same commit gives the same bytes.
deb:
	GO='$(GO)' deploy/debian/build

clean:
	rm -rf trivet build
