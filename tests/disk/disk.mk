# Tests over simulated disks: build/disk has sim/file.c in the place of src/base/file.c, and tests/disk/worker.c in that
# of src/base/worker.c. Included by the Makefile.

DISK_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/disk/*.c) tests/lib/test.c tests/lib/ledger_suite.c \
    tests/lib/ledger_damage.c) $(patsubst sim/%.c,$(BUILD)/simulator/%.o,$(wildcard sim/disk*.c) sim/file.c)

$(BUILD)/tests/disk/%.o: CPPFLAGS += -I.

$(BUILD)/disk: $(DISK_OBJ) $(BUILD)/libcorten.a $(BUILD)/sources
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter-out $(BUILD)/sources,$^) $(LDLIBS)

.PHONY: disk
disk: $(BUILD)/disk
	$(RUN) $(BUILD)/disk $(UNIT_FLAGS) $(ONLY)
