# The bundled model, and what must be the same bits everywhere. Included by the Makefile.

# What the builtin engine computes must not depend on the processor: docs/protocol.md, "Engines". x86 builds stay
# on the oldest instruction set, for gcc 12 fuses where AVX-512 is at hand, in spite of -ffp-contract=off.
EXACT := -ffp-contract=off -fno-fast-math -fno-math-errno
ifneq ($(filter x86_64 i686,$(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))),)
EXACT += -msse2 -mno-avx
AVX2 := -mavx2 -mno-fma
endif
EXACT_OBJ := $(patsubst %,$(BUILD)/src/runtime/%.o,llama_math llama_model sampler)
$(EXACT_OBJ): CFLAGS += $(EXACT)

$(BUILD)/src/runtime/demo_model.o: models/corten-demo.gguf

# ---- training ----------------------------------------------------------------------------------

TRAIN_OBJ := $(patsubst %,$(BUILD)/tools/train/%.o,train model corpus gguf_write gemm_plain gemm_avx2)
$(BUILD)/tools/train/%.o: CPPFLAGS += -Itools/train
$(BUILD)/tools/train/%.o: CFLAGS += -O3 -ffp-contract=off -fno-math-errno
$(BUILD)/tools/train/gemm_plain.o: CPPFLAGS += -DGEMM_NAME=gemm_plain
$(BUILD)/tools/train/gemm_avx2.o: CPPFLAGS += -DGEMM_NAME=gemm_avx2
$(BUILD)/tools/train/gemm_avx2.o: CFLAGS += $(AVX2)
$(BUILD)/tools/train/gemm_plain.o $(BUILD)/tools/train/gemm_avx2.o: tools/train/gemm.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$< into $(@F))
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# Not from libcorten.a, which holds the model that is to be made.
$(BUILD)/train: $(TRAIN_OBJ) $(BUILD)/src/runtime/llama_math.o $(patsubst %.c,$(BUILD)/%.o,$(wildcard src/base/*.c))
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# King James Bible, from packages bible-kjv and bible-kjv-text.
$(BUILD)/kjv.txt:
	@mkdir -p $(@D)
	$(Q)command -v bible >/dev/null || { echo 'the text comes from packages bible-kjv and bible-kjv-text: run tools/setup check' >&2; exit 1; }
	$(Q)bible -f Gen1:1-Rev22:21 </dev/null >$@.part && mv $@.part $@

# 2,000 steps, about 15 minutes of one processor; the same bytes each time.
.PHONY: model
model: $(BUILD)/train $(BUILD)/kjv.txt
	$(BUILD)/train --text $(BUILD)/kjv.txt --out models/corten-demo.gguf --hash
	cd models && sha256sum -c corten-demo.gguf.sha256

# The first 4 steps, with and without AVX2, against models/train.sha256.
.PHONY: train-hash
train-hash: $(BUILD)/train $(BUILD)/kjv.txt
	@for how in '' --plain; do \
	    got=$$($(BUILD)/train --text $(BUILD)/kjv.txt --steps 4 --hash $$how 2>/dev/null); \
	    [ "$$got" = "$$(cat models/train.sha256)" ] || { echo "4 steps $$how give $$got, not $$(cat models/train.sha256)"; exit 1; }; \
	done; echo 'train-hash: the same bits with and without AVX2'

# ---- the same logits from every build ----------------------------------------------------------

GOLDEN_SRC := tools/golden/golden.c $(wildcard src/base/*.c) src/crypto/sha256.c \
	$(patsubst %,src/runtime/%.c,gguf tokenizer llama_model llama_math sampler)
GOLDEN_WAYS := gcc-O2 gcc-O3 clang-O2 clang-O3

$(BUILD)/golden-%: $(GOLDEN_SRC) $(wildcard src/runtime/*.h)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(firstword $(subst -, ,$*)) $(CPPFLAGS) -std=gnu17 $(WARN) $(PKG_CFLAGS) -$(lastword $(subst -, ,$*)) $(EXACT) \
	    -o $@ $(GOLDEN_SRC) $(LDLIBS)

.PHONY: golden
golden: $(GOLDEN_WAYS:%=$(BUILD)/golden-%)
	@failed=0; for way in $(GOLDEN_WAYS); do \
	    got=$$($(BUILD)/golden-$$way models/corten-demo.gguf); \
	    if [ "$$got" = "$$(cat models/corten-demo.golden)" ]; then echo "$$way: $$got"; \
	    else echo "$$way: $$got, not $$(cat models/corten-demo.golden)"; failed=1; fi; \
	done; [ $$failed = 0 ]
