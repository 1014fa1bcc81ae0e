# SPDX-License-Identifier: Apache-2.0
# A thin front for Meson. `make help` lists the targets.
PREFIX := /usr/local
# The prefix is compiled in, so each has a build folder of its own.
BUILD := $(if $(filter-out /usr/local,$(PREFIX)),build/prefix$(subst /,-,$(PREFIX)),build)
STAGE := $(CURDIR)/$(BUILD)/stage
N ?= 50
MOVES ?= 20
RUNS ?= 5

FUZZ_SECONDS ?= 60

.PHONY: help all stage deps configure install uninstall guests servers hosts demo check check-hosts check-servers fault soak upgrade bench sanitize fuzz lint format clean

help:
	@echo "make demo       build, and move a running Linux VM between two hosts of a lab, watched from outside; then a Debian server with a database under load"
	@echo "make check      all tests"
	@echo "make fault      each process of a move killed in each of its phases, and bad networks and disks (at most an hour); then the same while disks move too"
	@echo "make check-hosts N=50  many moves, restarts and a bad network between two virtual machines with Debian's own kernel; NFS and VLANs as operators have them"
	@echo "make check-servers [MOVES=20]   a Debian server with a database under load, booted by BIOS and by UEFI, moved so often each, and 5 times with its disk"
	@echo "make soak N=50 [SEED=…]   many moves of self-checking and Linux guests among three hosts, while processes are killed and networks cut"
	@echo "make upgrade    the programs of an earlier version are replaced by these while VMs run"
	@echo "make bench [CASE=name,…] [RUNS=5]   moves beside QEMU's own migration and the machine's limit (at most an hour)"
	@echo "make sanitize   unit, engine and job tests under ASan+UBSan and TSan"
	@echo "make fuzz [TARGET=name …] [FUZZ_SECONDS=60]   libFuzzer on all that reads what others send, so long each"
	@echo "make install [PREFIX=/usr/local] [DESTDIR=…]   build without tests and install; make uninstall takes back what it installed"
	@echo "make lint, make format, make clean"

all: configure
	@ninja -C $(BUILD) --quiet

deps:
	@scripts/install-packages

configure: deps
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) --prefix=$(PREFIX) >/dev/null
	@if [ -f $(BUILD)/without-tests ]; then meson configure $(BUILD) -Dtests=true && rm $(BUILD)/without-tests; fi

# On a host: nothing that only tests need.
install:
	@scripts/install-packages build run
	@test -f $(BUILD)/build.ninja || { meson setup $(BUILD) --prefix=$(PREFIX) -Dtests=false >/dev/null && touch $(BUILD)/without-tests; }
	@ninja -C $(BUILD) --quiet
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD) --quiet --no-rebuild

uninstall:
	@DESTDIR=$(DESTDIR) packaging/uninstall $(BUILD)

stage: all
	@DESTDIR=$(STAGE) meson install -C $(BUILD) --quiet --no-rebuild

guests:
	@scripts/install-packages build guests
	@tests/guests/linux/build.sh $(BUILD)/guests/linux

# Two cores build each in a minute or two; they are kept until a package of theirs or the recipe changes.
servers:
	@scripts/install-packages images servers
	@tests/guests/debian/build.sh $(BUILD)/guests/debian

hosts:
	@scripts/install-packages images
	@tests/hosts/build.sh $(BUILD)/hosts

demo: stage guests servers
	@scripts/demo $(BUILD)
	@scripts/demo-server $(BUILD)

check: stage guests servers hosts
	@tests/run-all $(BUILD)

fault: stage guests
	@GODWIT_KILL_POINTS=all meson test -C $(BUILD) --no-rebuild --timeout-multiplier 3 agent/a-killed-agent-leaves-each-disk-one-image
	@tests/fault/run $(BUILD)
	@tests/fault/run $(BUILD) --disks

check-hosts: stage hosts
	@tests/hosts/a-guest-on-nfs-and-a-vlan-moves-between-debian-hosts.sh $(BUILD)
	@tests/hosts/fifty-moves-between-hosts-that-restart.sh $(BUILD) $(N)

check-servers: stage servers
	@tests/e2e/a-debian-server-moves-with-its-database.sh $(BUILD) $(MOVES) bios
	@tests/e2e/a-debian-server-moves-with-its-database.sh $(BUILD) $(MOVES) uefi
	@tests/e2e/a-debian-server-moves-with-its-database.sh $(BUILD) 5 bios local

soak: stage guests
	@tests/soak/run $(BUILD) $(N) $(SEED)

upgrade: stage guests
	@tests/tools/build-old-version $(BUILD)
	@tests/e2e/an-upgrade-with-running-vms-loses-nothing.sh $(BUILD)

bench: stage guests
	@tests/bench/run $(BUILD) "$(CASE)" $(RUNS)

sanitize: all
	@tests/run-all $(BUILD) sanitizers

fuzz: deps
	@nice tests/fuzz/run $(BUILD) $(FUZZ_SECONDS) $(TARGET)

lint: deps
	@tests/lint/lint.py
	@tests/lint/catalogue.py

format: deps
	@git ls-files '*.c' '*.h' | xargs clang-format-14 -i

clean:
	rm -rf $(BUILD)
