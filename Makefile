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
CFLAGS := -std=gnu11 -D_GNU_SOURCE -g -fPIC -fvisibility=hidden $(OPT_$(MODE)) $(WARN) -MMD -MP -I. -isystem $(GEN) \
  -isystem /usr/include/p11-kit-1 -DRINGKEEP_VERSION='"$(shell cat VERSION)"'
LDFLAGS := $(OPT_$(MODE)) -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed
LIBS_BASE := -lssl -lcrypto -luv
LIBS_DAEMON := -lraft -llmdb -lprotobuf-c $(LIBS_BASE) -lpthread
LIBS_CORE := -lseccomp -lcrypto -lpthread
LIBS_CLIENT := -lprotobuf-c -lssl -lcrypto
LIBS_SHELL := $(LIBS_CLIENT) -ljansson -lbsd

include build.mk
