# SPDX-License-Identifier: Apache-2.0
# A thin front for Meson. `make help` lists the targets.
BUILD := build
STAGE := $(CURDIR)/$(BUILD)/stage
N ?= 50

.PHONY: help all stage deps configure install guests demo check soak compare sanitize lint format clean

help:
	@echo "make demo       build, and move a running Linux VM between two hosts of a lab, watched from outside"
	@echo "make check      all tests"
	@echo "make soak N=50  many moves of self-checking and Linux guests"
	@echo "make compare    one move of a busy guest beside QEMU's own migration on the same link"
	@echo "make sanitize   unit, engine and job tests under ASan+UBSan and TSan"
	@echo "make install DESTDIR=…   install; make lint, make format, make clean"

all: configure
	@ninja -C $(BUILD) --quiet

deps:
	@scripts/install-packages

configure: deps
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) >/dev/null

install: all
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD) --quiet --no-rebuild

stage: all
	@DESTDIR=$(STAGE) meson install -C $(BUILD) --quiet --no-rebuild

guests: all
	@tests/guests/linux/build.sh $(BUILD)/guests/linux

demo: stage guests
	@scripts/demo $(BUILD)

check: stage guests
	@tests/run-all $(BUILD)

soak: stage guests
	@tests/soak.sh $(BUILD) $(N)

compare: stage guests
	@tests/compare.sh $(BUILD)

sanitize: all
	@tests/run-all $(BUILD) sanitizers

lint: deps
	@tests/lint/lint.py

format: deps
	@git ls-files '*.c' '*.h' | xargs clang-format-14 -i

clean:
	rm -rf $(BUILD)
