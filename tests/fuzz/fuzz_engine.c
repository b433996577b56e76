/* What engines and model files give: streams of an upstream server, its models and errors, GGUF files, stop strings. */
#include "base/utf8.h"
#include "fuzz/fuzz.h"
#include "lib/tiny_gguf.h"
#include "proto/json.h"
#include "runtime/llama_model.h"
#include "runtime/openai_body.h"
#include "runtime/text_gate.h"

/* ---- an upstream's stream ---- */

static void note_text(void *ctx, const char *text, size_t size)
{
    FUZZ_CHECK(size > 0 && utf8_is_valid(text, size));
    buf_add(ctx, text, size);
}

static struct buf read_stream(enum runtime_kind kind, int how, const uint8_t *data, size_t size)
{
    struct openai_stream s;
    struct buf log = {0};
    struct fuzz_cut cut;
    bool good = true;
    openai_stream_init(&s, kind);
    fuzz_cut_init(&cut, how, data, size);
    while (good && fuzz_cut_next(&cut))
        good = openai_stream_add(&s, cut.piece, cut.size, note_text, &log);
    fuzz_cut_done(&cut);
    FUZZ_CHECK(good == (s.error.size == 0));
    bool whole = openai_stream_end(&s);
    FUZZ_CHECK(whole == (s.error.size == 0));
    FUZZ_CHECK(!whole || (s.has_finish && s.is_done));
    FUZZ_CHECK(utf8_is_valid(s.error.data, s.error.size));
    buf_printf(&log, "\n%d %u %u ", whole, s.tokens_in, s.tokens_out);
    buf_add(&log, s.error.data, s.error.size);
    openai_stream_done(&s);
    return log;
}

static void check_stream(enum runtime_kind kind, const uint8_t *data, size_t size)
{
    struct buf whole = read_stream(kind, FUZZ_WHOLE, data, size);
    for (int how = FUZZ_BYTES; how <= FUZZ_CUTS; how++) {
        struct buf cut = read_stream(kind, how, data, size);
        FUZZ_CHECK(cut.size == whole.size && memcmp(cut.data, whole.data, whole.size) == 0);
        buf_done(&cut);
    }
    buf_done(&whole);
}

FUZZ(openai_stream, "an upstream's stream gives the same text and end however it is cut; a cut answer is no whole one")
{
    check_stream(RUNTIME_CHAT, data, size);
    check_stream(RUNTIME_COMPLETION, data, size);
}

FUZZ_SEEDS(openai_stream)
{
    fuzz_seed_text("chat", "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
                           "data: {\"choices\":[{\"delta\":{\"content\":\"H\xc3\xa9\"},\"finish_reason\":null}]}\n\n"
                           "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
                           "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\n"
                           "data: [DONE]\n\n");
    fuzz_seed_text("completion",
                   "data: {\"choices\":[{\"text\":\"Hi\",\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n");
    fuzz_seed_text("error", "data: {\"error\":{\"message\":\"no memory\"}}\n\n");
}

/* ---- an upstream's other answers ---- */

FUZZ(openai_answer, "a list of models gives one of its ids or a reason; an error answer becomes one line of UTF-8")
{
    struct buf id = {0}, text = {0};
    uint32_t context = 0;
    enum cx_err err = openai_find_model((char *)data, size, size % 2 ? "words" : NULL, &id, &context);
    FUZZ_CHECK(err == CX_OK || err == CX_NOT_FOUND || err == CX_INVALID);
    FUZZ_CHECK((err == CX_OK) == (id.size > 0));
    enum runtime_fault fault = openai_read_error(size % 3 ? 400 : 503, (char *)data, size, &text);
    FUZZ_CHECK(fault != RUNTIME_FAULT_NONE && text.size > 0);
    FUZZ_CHECK(utf8_is_valid(text.data, text.size) && !strpbrk(text.data, "\r\n"));
    buf_done(&id);
    buf_done(&text);
}

FUZZ_SEEDS(openai_answer)
{
    fuzz_seed_text("models", "{\"data\":[{\"id\":\"words\",\"max_model_len\":4096},{\"id\":\"a/words.gguf\"}]}");
    fuzz_seed_text("meta", "{\"data\":[{\"id\":\"words:latest\",\"meta\":{\"n_ctx\":2048}}]} ");
    fuzz_seed_text("error",
                   "{\"error\":{\"message\":\"the request exceeds the available context size\",\"code\":400}}");
    fuzz_seed_text("text", "Bad\r\nGateway");
}

FUZZ(openai_request, "what is passed on to an upstream is one JSON object, whatever the client's body was")
{
    struct buf out = {0};
    const struct span stop = {(const uint8_t *)"x\n", 2};
    const struct runtime_request request = {.kind = RUNTIME_COMPLETION,
                                            .prompt = {data, (uint32_t)size},
                                            .body = {data, (uint32_t)size},
                                            .max_tokens = 5,
                                            .stop = &stop,
                                            .stop_count = 1,
                                            .seed = size,
                                            .top_p = 5000,
                                            .presence_penalty = -1};
    if (openai_put_request(&out, &request, "m") == CX_OK) {
        json_t *root = NULL;
        FUZZ_CHECK(json_parse(out.data, out.size, 1 << 24, &root) == CX_OK && json_is_object(root));
        FUZZ_CHECK(json_is_true(json_object_get(root, "stream")));
        json_decref(root);
    }
    buf_done(&out);
}

FUZZ_SEEDS(openai_request)
{
    fuzz_seed_text("extra",
                   "{\"min_p\":0.1,\"stream\":false,\"model\":\"x\",\"deep\":{\"a\":[1,{\"b\":null}]},\"n\":2}");
}

/* ---- stop strings ---- */

static struct buf pass_gate(int how, const struct span *stop, uint32_t stops, struct span text)
{
    struct text_gate gate;
    struct buf out = {0};
    struct fuzz_cut cut;
    buf_text(&out, "");
    text_gate_init(&gate, stop, stops);
    fuzz_cut_init(&cut, how, text.data, text.size);
    for (bool more = fuzz_cut_next(&cut); more || !gate.stopped; more = fuzz_cut_next(&cut)) {
        if (more)
            text_gate_add(&gate, cut.piece, cut.size);
        else
            text_gate_end(&gate);
        size_t ready = text_gate_ready(&gate);
        FUZZ_CHECK(gate.sent + ready <= gate.text.size);
        if (ready) {
            buf_add(&out, gate.text.data + gate.sent, ready);
            FUZZ_CHECK(utf8_is_valid(gate.text.data + gate.sent, ready));
        }
        gate.sent += ready;
        if (!more || gate.stopped)
            break;
    }
    fuzz_cut_done(&cut);
    for (uint32_t i = 0; i < stops; i++)
        FUZZ_CHECK(!memmem(out.data, out.size, stop[i].data, stop[i].size));
    buf_printf(&out, " %d", gate.stopped);
    text_gate_done(&gate);
    return out;
}

FUZZ(text_gate, "what passes is UTF-8 without any stop string, the same however an engine cuts its text")
{
    struct fuzz_in in = {data, size};
    struct span stop[3];
    uint32_t stops = 0;
    for (uint32_t i = fuzz_u8(&in) % 4; i > 0; i--) {
        stop[stops] = fuzz_span(&in, 6);
        stops += stop[stops].size > 0 && utf8_is_valid((const char *)stop[stops].data, stop[stops].size);
    }
    struct span text = fuzz_rest(&in);
    struct buf whole = pass_gate(FUZZ_WHOLE, stop, stops, text);
    for (int how = FUZZ_BYTES; how <= FUZZ_CUTS; how++) {
        struct buf cut = pass_gate(how, stop, stops, text);
        FUZZ_CHECK(cut.size == whole.size && memcmp(cut.data, whole.data, whole.size) == 0);
        buf_done(&cut);
    }
    buf_done(&whole);
}

FUZZ_SEEDS(text_gate)
{
    fuzz_seed_text("one", "\1\3ababc abab aba");
    fuzz_seed_text("two", "\2\2\n\n\4STOPa text\n \xe2\x82\xac STOSTOP more");
    fuzz_seed_text("none", "\4plain \xf0\x9f\x98\x80 \xff");
}

/* ---- model files ---- */

static void check_tokenizer(const struct gguf *gguf)
{
    static struct tokenizer t;
    if (tokenizer_init(&t, gguf))
        return;
    FUZZ_CHECK(t.count <= TOKENIZER_VOCAB_MAX && t.begin < t.count && t.end < t.count);
    for (int byte = 0; byte < 256; byte++)
        FUZZ_CHECK(t.of_byte[byte] < t.count && t.byte_of[t.of_byte[byte]] == byte);
}

static void check_model(const uint8_t *data, size_t size)
{
    cx_auto(llama_model) model = NULL;
    cx_auto(llama_run) run = NULL;
    if (llama_model_open(data, size, &model))
        return;
    FUZZ_CHECK(model->context > 0 && model->heads > 0 && model->width % model->heads == 0);
    if (model->width > 256 || model->hidden > 256 || model->layers > 4 ||
        llama_run_open(model, u32_min(model->context, 2), &run))
        return;
    float *logits = llama_run_step(run, model->tokenizer.begin, true);
    FUZZ_CHECK(logits);
}

FUZZ(gguf, "a model file is refused by name, or every key, text and tensor in it lies inside of it, and it runs")
{
    static struct gguf gguf;
    enum cx_err err = gguf_read(data, size, &gguf);
    FUZZ_CHECK(err == CX_OK || err == CX_CORRUPT || err == CX_TOO_LARGE || err == CX_UNSUPPORTED);
    if (err)
        return;
    for (uint32_t i = 0; i < gguf.values; i++) {
        const struct gguf_value *v = &gguf.value[i];
        FUZZ_CHECK(v->at >= data && v->size <= size && v->at + v->size <= data + size);
        if (v->type != GGUF_ARRAY || v->item_type != GGUF_TEXT)
            continue;
        const uint8_t *at = v->at;
        for (uint64_t k = 0; k < v->count; k++) {
            struct span text = gguf_next_text(&at);
            FUZZ_CHECK(text.data >= v->at && text.data + text.size <= v->at + v->size);
        }
    }
    for (uint32_t i = 0; i < gguf.tensors; i++)
        FUZZ_CHECK(gguf.tensor[i].at >= data && gguf.tensor[i].size <= size &&
                   gguf.tensor[i].at + gguf.tensor[i].size <= data + size);
    check_tokenizer(&gguf);
    check_model(data, size);
}

FUZZ_SEEDS(gguf)
{
    static const struct tiny_options options[] = {
        {0}, {.quantized = true}, {.merged_piece = "ab"}, {.chat_template = "{% x %}"}, {.architecture = "other"}};
    for (size_t i = 0; i < ARRAY_COUNT(options); i++) {
        struct buf out = {0};
        char name[16];
        tiny_gguf(&out, &options[i]);
        snprintf(name, sizeof name, "tiny-%zu", i);
        fuzz_seed(name, out.data, out.size);
        if (i == 0)
            fuzz_seed("header", out.data, tiny_header_size(&out));
        if (i == 0)
            fuzz_seed("cut", out.data, out.size - 1);
        buf_done(&out);
    }
    fuzz_seed("empty-file", "GGUF\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
}
