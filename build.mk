# SPDX-License-Identifier: Apache-2.0
# Rules behind the Makefile: one archive per folder, one object per source.
# A file named *_main.c is a program's main and stays out of its archive.

FOLDERS := base proto sks keyring raft-glue cluster hsm-sim appliance client client/shell client/pkcs11
PROTOS := $(wildcard proto/*.proto)
GEN_C := $(PROTOS:proto/%.proto=$(GEN)/%.pb-c.c)
GEN_H := $(GEN_C:.c=.h)

objects = $(patsubst %.c,$(BUILD)/%.o,$(filter-out %_main.c,$(wildcard $(1)/*.c)))
archive = $(BUILD)/lib$(subst /,-,$(1)).a

define folder_rule
$(call archive,$(1)): $(call objects,$(1)) $(2)
	@rm -f $$@
	@ar rcs $$@ $$^
endef
GEN_O := $(GEN_C:$(GEN)/%.c=$(BUILD)/gen/%.o)
$(foreach f,$(filter-out proto,$(FOLDERS)),$(eval $(call folder_rule,$(f),)))
$(eval $(call folder_rule,proto,$(GEN_O)))

$(GEN)/%.pb-c.c $(GEN)/%.pb-c.h: proto/%.proto
	@mkdir -p $(GEN)
	protoc-c -Iproto --c_out=$(GEN) $<
$(BUILD)/gen/%.o: $(GEN)/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -g -fPIC -fvisibility=hidden $(OPT_$(MODE)) -w -I$(GEN) -c $< -o $@
$(BUILD)/%.o: %.c Makefile build.mk | $(GEN_H)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CFLAGS_EXTRA) -c $< -o $@
# The core once more with its test hooks (tests only): PROBE, crash and planted faults.
$(BUILD)/hooks/%.o: %.c Makefile build.mk | $(GEN_H)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -DRINGKEEP_TEST_HOOKS -c $< -o $@

A = $(foreach f,$(1),$(call archive,$(f)))
CORE_LIBS := $(call A,hsm-sim sks proto base)
DAEMON_LIBS := $(call A,appliance cluster raft-glue keyring hsm-sim sks proto base)
CLIENT_LIBS := $(call A,client proto base)
ALL_LIBS := $(call A,appliance cluster raft-glue keyring hsm-sim client-shell client-pkcs11 client sks proto base)
group = -Wl,--start-group $(1) -Wl,--end-group

PROGRAMS := $(BUILD)/ringkeepd $(BUILD)/ringkeep-hsm $(BUILD)/ringkeep-run $(BUILD)/ringkeep
LIBRARIES := $(BUILD)/libringkeep.so.0 $(BUILD)/libringkeep-pkcs11.so

$(BUILD)/ringkeepd: $(BUILD)/appliance/ringkeepd_main.o $(DAEMON_LIBS)
	$(CC) $(LDFLAGS) -o $@ $< $(call group,$(DAEMON_LIBS)) $(LIBS_DAEMON)
$(BUILD)/ringkeep-hsm: $(BUILD)/hsm-sim/hsm_main.o $(CORE_LIBS)
	$(CC) $(LDFLAGS) -o $@ $< $(call group,$(CORE_LIBS)) $(LIBS_CORE)
HOOK_O := $(patsubst %.c,$(BUILD)/hooks/%.o,$(filter-out %_main.c %/core_client.c %/core_local.c,$(wildcard hsm-sim/*.c)) hsm-sim/hsm_main.c $(wildcard sks/*.c))
$(BUILD)/ringkeep-hsm-hooks: $(HOOK_O) $(call A,proto base)
	$(CC) $(LDFLAGS) -o $@ $(HOOK_O) $(call group,$(call A,proto base)) $(LIBS_CORE)
$(BUILD)/ringkeep-run: $(BUILD)/hsm-sim/run_main.o $(call A,hsm-sim base)
	$(CC) $(LDFLAGS) -o $@ $< $(call group,$(call A,hsm-sim base)) $(LIBS_CORE)
$(BUILD)/ringkeep: $(BUILD)/client/shell/ringkeep_main.o $(call A,client/shell) $(CLIENT_LIBS)
	$(CC) $(LDFLAGS) -o $@ $< $(call group,$(call A,client/shell) $(CLIENT_LIBS)) $(LIBS_SHELL)
$(BUILD)/libringkeep.so.0: $(CLIENT_LIBS) client/export.map
	$(CC) $(filter-out -pie,$(LDFLAGS)) -shared -Wl,-soname,libringkeep.so.0 -Wl,--version-script=client/export.map \
	  -o $@ -Wl,--whole-archive $(call archive,client) -Wl,--no-whole-archive $(call group,$(call A,proto base)) $(LIBS_CLIENT)
$(BUILD)/libringkeep-pkcs11.so: $(call A,client/pkcs11) $(CLIENT_LIBS) client/pkcs11/export.map
	$(CC) $(filter-out -pie,$(LDFLAGS)) -shared -Wl,--version-script=client/pkcs11/export.map \
	  -o $@ -Wl,--whole-archive $(call archive,client/pkcs11) -Wl,--no-whole-archive $(call group,$(CLIENT_LIBS)) $(LIBS_CLIENT)

# Tests: every tests/unit/*.c is one Criterion program, every tests/plain/*.c a
# plain one (threads, helpers of the end-to-end scripts).
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/*.c))
PLAIN := $(patsubst tests/plain/%.c,$(BUILD)/tests/plain/%,$(wildcard tests/plain/*.c))
LIBS_TEST := -lraft -llmdb -lprotobuf-c -lssl -lcrypto -luv -lseccomp -ljansson -lbsd -lpthread -ldl
# An archive: a test takes only the fixtures that it names.
TEST_LIB := $(BUILD)/libtests.a
$(TEST_LIB): $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/lib/*.c))
	@rm -f $@
	@ar rcs $@ $^
$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(TEST_LIB) $(ALL_LIBS)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $< $(call group,$(TEST_LIB) $(ALL_LIBS)) $(LIBS_TEST) -lcriterion
$(BUILD)/tests/plain/%: $(BUILD)/tests/plain/%.o $(TEST_LIB) $(ALL_LIBS)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $< $(call group,$(TEST_LIB) $(ALL_LIBS)) $(LIBS_TEST)
# Asks the hook verbs of a core, so it is linked with the core's hook objects.
$(BUILD)/tests/plain/core_probe: $(BUILD)/tests/plain/core_probe.o $(BUILD)/hooks/hsm-sim/core_client.o $(filter-out %/hsm_main.o,$(HOOK_O)) $(call A,proto base)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(call group,$(call A,proto base)) $(LIBS_TEST)

.PHONY: all programs tests-build
all: programs
programs: $(PROGRAMS) $(LIBRARIES)
tests-build: programs $(BUILD)/ringkeep-hsm-hooks $(UNIT) $(PLAIN)
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
