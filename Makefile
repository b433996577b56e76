# make            builds build/corten
# make demo       sets up, builds, and runs one prompt through a whole network
# make check      sets up, builds, runs all tests; ends with "N passed, N failed"
# make unit       builds and runs the unit tests; ONLY=place for one place, SAN=address,undefined with
#                 BUILD=build-san for a build with sanitizers
# make crash      kills routers, miners and oracles under load, KILLS=500 times; SEED=n repeats a run
# make planted    plants each bug of tests/planted/ in a copy of the tree, and expects its checker; ONLY=name for one
# make wasm       builds the core alone for WebAssembly: build/core.wasm
# make bench      builds the measuring programs: build/bench/core, ... (docs/performance.md)
# make sim        whole networks in one process, from seeds: SEEDS=1000 of them, or fresh ones for a minute
# make fuzz       each decoder under libFuzzer for SECONDS=60; ONLY="sse json" for some, JOBS=2 at a time
# make lint       looks for what compilers do not: layers, banned calls, references, layout
# make format     lays out all C files as .clang-format says
# make clean      removes what was built
# make help       shows this list

.DEFAULT_GOAL := all
BUILD ?= build
ifeq ($(origin CC),default)
CC := gcc
endif
# V=1 shows the commands.
Q := $(if $(V),,@)
comma := ,
say = $(if $(V),,@printf '  %-4s %s\n' '$(1)' '$(2)')

# These work before tools/setup has run, so they must not ask for libraries.
.PHONY: demo check setup lint format clean help
demo:
	@tools/setup build
	@$(MAKE) --no-print-directory -j$$(nproc) all
	$(BUILD)/corten demo

check:
	@tools/setup check
	@tools/check

setup:
	@tools/setup check

lint:
	@tools/lint

format:
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf build build-*

help:
	@sed -n '1,/^$$/s/^# //p' Makefile

ifneq ($(filter-out demo check setup lint format clean help,$(or $(MAKECMDGOALS),all)),)

PKGS := libuv jansson libcurl sqlite3 libsecp256k1 libsodium openssl liblz4
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) || echo missing)
PKG_LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
ifneq ($(filter missing,$(PKG_CFLAGS)),)
$(error libraries are missing: run tools/setup build)
endif

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wswitch-enum -Werror
OPT ?= -O2
# SAN=address,undefined or SAN=thread: into a build folder of its own.
SAN ?=
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)

CPPFLAGS += -Isrc -I$(BUILD)/gen -D_GNU_SOURCE
CFLAGS += -std=gnu17 -g $(OPT) $(WARN) $(SANFLAGS) $(PKG_CFLAGS)
LDFLAGS += $(SANFLAGS) -rdynamic
LDLIBS += $(PKG_LIBS) -lm -lpthread -ldl

LIB_SRC := $(filter-out src/cli/main.c,$(sort $(wildcard src/*/*.c)))
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o)

# llhttp: the system's library where there is one; on Debian 12 the C sources of package node-llhttp.
ifeq ($(shell pkg-config --exists libllhttp && echo yes),yes)
LDLIBS += $(shell pkg-config --libs libllhttp)
CFLAGS += $(shell pkg-config --cflags libllhttp)
else
LLHTTP_DIR := /usr/share/llhttp
# Both the header and the sources ask: strict is what refuses smuggled requests.
CPPFLAGS += -isystem /usr/share/include/llhttp -DLLHTTP_STRICT_MODE=1
LIB_OBJ += $(patsubst $(LLHTTP_DIR)/%.c,$(BUILD)/llhttp/%.o,$(wildcard $(LLHTTP_DIR)/*.c))
endif

# The core is small, and replay is little else: a tenth faster so.
$(BUILD)/src/core/%.o: CFLAGS += $(if $(filter -O2,$(OPT)),-O3)

# Objects are made again when the compiler or its flags change, archives when a file comes or goes.
FLAGS := $(CC) $(CPPFLAGS) $(CFLAGS)
$(BUILD)/flags: text := $(FLAGS)
$(BUILD)/sources: text = $(LIB_SRC) $(wildcard tests/unit/*.c tests/property/*.c tests/lib/*.c tests/fuzz/*.c sim/*.c)
$(BUILD)/flags $(BUILD)/sources: FORCE
	@mkdir -p $(@D)
	@echo '$(text)' | cmp -s - $@ || echo '$(text)' >$@
.PHONY: FORCE
FORCE:

.PHONY: all
all: $(BUILD)/corten

include tools/train/train.mk

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/llhttp/%.o: $(LLHTTP_DIR)/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) -O2 -g -w $(SANFLAGS) -c $< -o $@

$(BUILD)/libcorten.a: $(LIB_OBJ) $(BUILD)/sources
	@rm -f $@
	$(call say,AR,$@)
	$(Q)ar rcs $@ $(filter %.o,$^)

$(BUILD)/corten: $(BUILD)/src/cli/main.o $(BUILD)/libcorten.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# ---- tests -------------------------------------------------------------------------------------

TEST_LIB := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/lib/*.c))
UNIT_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/unit/*.c tests/property/*.c))
# The checkers of the core alone look at every network of tests/lib/network.h as well, and cheats are tried over sockets.
CHECK_OBJ := $(patsubst sim/%.c,$(BUILD)/simulator/%.o,$(wildcard sim/check.c sim/check_core*.c \
    sim/check_shadow.c sim/check_record.c sim/check_told.c sim/check_nodes.c sim/reply.c sim/crew.c \
    sim/report_sum.c sim/adversary*.c))
# Histories apart from any role, played by the checkers of the core.
PLAY_OBJ := $(patsubst sim/%.c,$(BUILD)/simulator/%.o,$(wildcard sim/check_core*.c sim/trace_*.c)) \
    $(patsubst %,$(BUILD)/simulator/%.o,check history trial retell shrink tiny small small_moves)

$(BUILD)/tests/%.o: CPPFLAGS += -Itests -I.

$(BUILD)/unit: $(UNIT_OBJ) $(TEST_LIB) $(sort $(CHECK_OBJ) $(PLAY_OBJ)) $(BUILD)/libcorten.a $(BUILD)/sources
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter-out $(BUILD)/sources,$^) $(LDLIBS)

# src/crypto behind lines of text, for tests/e2e/crypto.test.mjs.
$(BUILD)/probe: $(BUILD)/tests/probe/probe.o $(BUILD)/libcorten.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Our WebSocket ends, for tests/e2e/ws.test.mjs.
$(BUILD)/ws_echo: $(BUILD)/tests/probe/ws_echo.o $(BUILD)/libcorten.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# ---- simulation --------------------------------------------------------------------------------

# What a simulated world answers for itself, by a second body of the same header.
SIM_INSTEAD := src/base/clock.c src/base/worker.c src/base/file.c \
    $(patsubst %,src/net/%.c,loop conn connect listener http_client process)
# Not in $(BUILD)/sim, which is the program.
SIM_OBJ := $(patsubst sim/%.c,$(BUILD)/simulator/%.o,$(filter-out sim/small_main.c,$(wildcard sim/*.c)))

$(BUILD)/simulator/%.o: sim/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) -I. $(CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libsimulated.a: $(filter-out $(SIM_INSTEAD:%.c=$(BUILD)/%.o),$(LIB_OBJ)) $(BUILD)/sources
	@rm -f $@
	$(call say,AR,$@)
	$(Q)ar rcs $@ $(filter %.o,$^)

# sim/memo.c
SIM_WRAP := $(patsubst %,-Wl$(comma)--wrap=%,key_sign key_recover oracle_chain_init exchange_offer_generate \
    exchange_agree keccak256 eip712_domain)

$(BUILD)/sim: $(SIM_OBJ) $(BUILD)/libsimulated.a $(BUILD)/sources
	@test ! -d $@ || rm -rf $@
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $(SIM_WRAP) -o $@ $(filter-out $(BUILD)/sources,$^) $(LDLIBS)

# Every history of small networks: the core alone and its checkers, no roles.
$(BUILD)/sim_small: $(BUILD)/simulator/small_main.o $(PLAY_OBJ) $(BUILD)/libcorten.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# SEEDS=1000: so many, from 1 on; else fresh ones for a minute.
.PHONY: sim
sim: $(BUILD)/sim
	$(BUILD)/sim $(if $(SEEDS),--seeds 1..$(SEEDS)) --jobs $$(nproc) $(SIM_FLAGS)

# ---- crash tests --------------------------------------------------------------------------------

# What stands between the router and its disk in the crash tests.
$(BUILD)/crash_shim.so: tests/crash/shim.c tests/crash/shim.h $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -I. -D_GNU_SOURCE -std=gnu17 -g -O2 $(WARN) -fPIC -shared -o $@ $< -ldl -lpthread

.PHONY: crash
crash: $(BUILD)/corten $(BUILD)/crash_shim.so
	$(Q)BUILD=$(BUILD) node tests/crash/crash.mjs $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED))

# Does the simulator find what is wrong? ONLY=name for one bug of tests/planted/.
.PHONY: planted
planted:
	@tools/planted $(ONLY)

# ---- the core without a C library ----------------------------------------------------------------

WASM_SRC := $(wildcard src/core/*.c) tools/wasm/replay.c $(wildcard src/crypto/blake3*.c) src/crypto/keccak.c src/crypto/eip712.c \
    $(patsubst %,src/base/%.c,amount arena assert fenwick heap id_map mem prng slots text)
WASM_OBJ := $(WASM_SRC:%.c=$(BUILD)/wasm/%.o)

$(BUILD)/wasm/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,WASM,$<)
	$(Q)clang --target=wasm32 -ffreestanding -fno-builtin -std=gnu17 -O2 $(WARN) -Isrc -MMD -MP -c $< -o $@

$(BUILD)/core.wasm: $(WASM_OBJ) $(BUILD)/sources
	$(call say,LD,$@)
	$(Q)wasm-ld --no-entry --fatal-warnings -o $@ $(filter %.o,$^)

.PHONY: wasm
wasm: $(BUILD)/core.wasm

.PHONY: unit
unit: $(BUILD)/unit
	$(RUN) $(BUILD)/unit $(UNIT_FLAGS) $(ONLY)

# ---- measuring -----------------------------------------------------------------------------------

# Each of these is bench/NAME.c and becomes build/bench/NAME; the rest of bench/ is what they share.
BENCH_PROGRAMS := core hot ledger queue
BENCH := $(BENCH_PROGRAMS:%=$(BUILD)/bench/%)
BENCH_LIB := $(filter-out $(BENCH:%=%.o),$(patsubst %.c,$(BUILD)/%.o,$(wildcard bench/*.c)))
# The servers that bench/queue measures beside ours have client libraries of their own.
BENCH_PKGS := hiredis libpq
$(BUILD)/bench/queue%.o: CFLAGS += $(shell pkg-config --cflags $(BENCH_PKGS) 2>/dev/null)
$(BENCH): LDLIBS += $(shell pkg-config --libs $(BENCH_PKGS) 2>/dev/null)

$(BENCH): $(BUILD)/bench/%: $(BUILD)/bench/%.o $(BENCH_LIB) $(BUILD)/libcorten.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

.PHONY: bench bench-needs
bench-needs:
	@tools/setup bench
$(BENCH_LIB): | bench-needs
bench: $(BENCH)

include tests/engines/engines.mk
include tests/disk/disk.mk
include tests/fuzz/fuzz.mk

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

endif
