# make            builds build/corten
# make demo       sets up, builds, and runs one prompt through a whole network
# make check      sets up, builds, runs all tests; ends with "N passed, N failed"
# make help       lists every target

BUILD ?= build
ifeq ($(origin CC),default)
CC := gcc
endif
# V=1 shows the commands.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-4s %s\n' '$(1)' '$(2)')
PKGS := libuv jansson libcurl sqlite3 libsecp256k1 libsodium openssl

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wswitch-enum -Werror
OPT ?= -O2
# SAN=address,undefined or SAN=thread: into a build folder of its own.
SAN ?=
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)

CPPFLAGS += -Isrc -I$(BUILD)/gen -D_GNU_SOURCE
CFLAGS += -std=gnu17 -g $(OPT) $(WARN) $(SANFLAGS) $(shell pkg-config --cflags $(PKGS))
LDFLAGS += $(SANFLAGS) -rdynamic
LDLIBS += $(shell pkg-config --libs $(PKGS)) -lm -lpthread -ldl

LIB_SRC := $(filter-out src/cli/main.c,$(sort $(wildcard src/*/*.c)))
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o)

# llhttp: the system's library where there is one; on Debian 12 the C sources of package node-llhttp.
ifeq ($(shell pkg-config --exists libllhttp && echo yes),yes)
LDLIBS += $(shell pkg-config --libs libllhttp)
CFLAGS += $(shell pkg-config --cflags libllhttp)
else
LLHTTP_DIR := /usr/share/llhttp
CPPFLAGS += -isystem /usr/share/include/llhttp
LIB_OBJ += $(patsubst $(LLHTTP_DIR)/%.c,$(BUILD)/llhttp/%.o,$(wildcard $(LLHTTP_DIR)/*.c))
endif

.PHONY: all
all: $(BUILD)/corten

# What the builtin engine computes must not depend on the processor: docs/protocol.md, "Engines".
$(BUILD)/src/runtime/llama_math.o: CFLAGS += -ffp-contract=off -fno-fast-math -mno-avx -msse2

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/llhttp/%.o: $(LLHTTP_DIR)/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) -O2 -g -w $(SANFLAGS) -c $< -o $@

$(BUILD)/libcorten.a: $(LIB_OBJ)
	@rm -f $@
	$(call say,AR,$@)
	$(Q)ar rcs $@ $^

$(BUILD)/corten: $(BUILD)/src/cli/main.o $(BUILD)/libcorten.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# ---- tests -------------------------------------------------------------------------------------

TEST_LIB := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/lib/*.c))
UNIT_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/unit/*.c tests/property/*.c))

$(BUILD)/tests/%.o: CPPFLAGS += -Itests

$(BUILD)/unit: $(UNIT_OBJ) $(TEST_LIB) $(BUILD)/libcorten.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

.PHONY: unit
unit: $(BUILD)/unit
	$(BUILD)/unit $(ONLY)

.PHONY: clean
clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
