# Targets for fuzzers: tests/fuzz/README.md. Included by the Makefile.

FUZZ_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(filter-out tests/fuzz/engine.c tests/fuzz/replay.c,$(wildcard tests/fuzz/*.c)))
# What targets use of the tests' own parts; the harness is another one here.
FUZZ_LIB := $(patsubst %,$(BUILD)/tests/lib/%.o,core_parts guard network network_fill same_frame tiny_gguf) $(CHECK_OBJ)

# Replays the committed inputs; needs no libFuzzer.
$(BUILD)/fuzz_replay: $(BUILD)/tests/fuzz/replay.o $(FUZZ_OBJ) $(FUZZ_LIB) $(BUILD)/libcorten.a $(BUILD)/sources
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter-out $(BUILD)/sources,$^) $(LDLIBS)

# Under libFuzzer. Everything is compiled with SAN=fuzzer-no-link,... into a folder of its own: tests/fuzz/run.
$(BUILD)/fuzz: $(BUILD)/tests/fuzz/engine.o $(FUZZ_OBJ) $(FUZZ_LIB) $(BUILD)/libcorten.a $(BUILD)/sources
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $(filter-out $(BUILD)/sources,$^) $(LDLIBS)

# What has no choices of its own would only slow the fuzzer down.
ifneq ($(findstring fuzzer,$(SAN)),)
$(BUILD)/tests/lib/%.o $(BUILD)/src/crypto/keccak.o: CFLAGS += -fno-sanitize=fuzzer-no-link
endif

# tests/fuzz/planted: one source file with a defect, in place of the library's.
PLANTED := $(BUILD)/planted/defect
$(PLANTED).o: $(PLANTED).c
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -w -c $< -o $@

.PHONY: $(BUILD)/planted $(BUILD)/planted-fuzz
$(BUILD)/planted: $(PLANTED).o $(BUILD)/tests/fuzz/replay.o $(FUZZ_OBJ) $(FUZZ_LIB) $(BUILD)/libcorten.a
	$(Q)$(CC) $(LDFLAGS) -o $(PLANTED) $^ $(LDLIBS)
$(BUILD)/planted-fuzz: $(PLANTED).o $(BUILD)/tests/fuzz/engine.o $(FUZZ_OBJ) $(FUZZ_LIB) $(BUILD)/libcorten.a
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $(PLANTED) $^ $(LDLIBS)

.PHONY: fuzz fuzz-corpus fuzz-planted
fuzz:
	@tests/fuzz/run
fuzz-corpus:
	@tests/fuzz/run --merge
fuzz-planted:
	@tests/fuzz/planted --fuzz
