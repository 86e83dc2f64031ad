# SPDX-License-Identifier: Apache-2.0
# Ringkeep. `make help` lists the targets. MODE=dev|asan|tsan chooses build/MODE.
MODE ?= dev
MEMBERS ?= 3
DIR ?= run
BUILD := build/$(MODE)
GEN := build/gen
SHELL := /bin/bash

CC := gcc
WARN := -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Warith-conversion -Wstrict-prototypes \
  -Wmissing-prototypes -Wold-style-definition -Wpointer-arith -Wcast-align=strict -Wcast-qual \
  -Wwrite-strings -Wformat=2 -Wundef -Wvla -Wnull-dereference -Wswitch-enum -Wimplicit-fallthrough=5 \
  -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wdouble-promotion -Wredundant-decls \
  -Wnested-externs -Wstringop-overflow=4 -Werror
HARDEN := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fcf-protection=full \
  -ftrivial-auto-var-init=zero
OPT_dev := -O2 $(HARDEN)
OPT_asan := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -DRINGKEEP_ASAN
OPT_tsan := -O1 -fsanitize=thread -fno-omit-frame-pointer
CFLAGS := -std=gnu11 -D_GNU_SOURCE -g -fPIC -fvisibility=hidden $(OPT_$(MODE)) $(WARN) -MD -MP -I. -isystem $(GEN) \
  -isystem /usr/include/p11-kit-1 -DRINGKEEP_VERSION='"$(shell cat VERSION)"'
LDFLAGS := $(OPT_$(MODE)) -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed
LIBS_BASE := -lssl -lcrypto -luv
LIBS_DAEMON := -lraft -llmdb -lprotobuf-c $(LIBS_BASE) -lpthread
LIBS_CORE := -lseccomp -lcrypto -lpthread
LIBS_CLIENT := -lprotobuf-c -lssl -lcrypto
LIBS_SHELL := $(LIBS_CLIENT) -ljansson -lbsd

include build.mk

.DEFAULT_GOAL := help
.PHONY: help deps up down status demo clean-run test asan lint clean install
export MEMBERS DIR BUILD

help:
	@echo "make up [MEMBERS=3] [DIR=run]   install, build, start a cluster with a keyring"
	@echo "make demo                       a CA and TLS servers on the keyring, the leader killed under load"
	@echo "make status                     members, roles, indexes, digests, what to do next"
	@echo "make down                       stop what make up started; the data stays"
	@echo "make clean-run                  remove DIR (after make down)"
	@echo "make test                       every test;  make asan: the same under ASan and UBSan"
	@echo "make lint                       include rules, words, function length, clang-tidy, cppcheck"
	@echo "make install [PREFIX=/usr/local] [DESTDIR=]"
up:
	@deploy/install.sh build run
	@echo "building" && $(MAKE) -s -j$$(nproc) programs
	@deploy/up.sh
down:
	@deploy/down.sh
status:
	@deploy/status.sh
demo:
	@deploy/demo.sh
clean-run: down
	@case "$(DIR)" in ""|/|.|..) echo "error: DIR=$(DIR) is not a run directory" >&2; exit 2;; esac; \
	 test ! -e "$(DIR)" || test -e "$(DIR)/secrets" || { echo "error: $(DIR) was not made by make up" >&2; exit 2; }; rm -rf -- "$(DIR)"
test:
	@deploy/install.sh build run test lint
	@tests/lib/run.sh
asan:
	@deploy/install.sh build run test
	@$(MAKE) --no-print-directory MODE=asan test-asan
.PHONY: test-asan
test-asan:
	@tests/lib/run.sh
lint:
	@deploy/install.sh build lint
	@tests/lint/lint.sh
clean:
	rm -rf build

PREFIX ?= /usr/local
install: programs
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/libexec/ringkeep $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/lib/pkcs11
	install -m 755 $(BUILD)/ringkeep $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BUILD)/ringkeepd $(BUILD)/ringkeep-run $(BUILD)/ringkeep-hsm $(DESTDIR)$(PREFIX)/libexec/ringkeep
	install -m 644 $(BUILD)/libringkeep.so.0 $(DESTDIR)$(PREFIX)/lib
	ln -sf libringkeep.so.0 $(DESTDIR)$(PREFIX)/lib/libringkeep.so
	install -m 644 $(BUILD)/libringkeep-pkcs11.so $(DESTDIR)$(PREFIX)/lib/pkcs11
	install -m 644 client/ringkeep.h $(DESTDIR)$(PREFIX)/include
