# Tests against other people's servers. Included by the Makefile.

ENGINES_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/engines/*.c))
$(BUILD)/engines: $(ENGINES_OBJ) $(TEST_LIB) $(sort $(CHECK_OBJ) $(PLAY_OBJ)) $(BUILD)/libcorten.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

.PHONY: check-engines
check-engines: $(BUILD)/engines
	@tools/check-engines $(BUILD)/engines
