#include "oracle/challenge.h"

#include <string.h>

#include "base/bytes.h"
#include "base/prng.h"
#include "crypto/keccak.h"
#include "crypto/sha256.h"
#include "proto/request.h"

#define SEED_TAG "corten/q"
#define TAG_SIZE 8

static const char *const word[] = {
    "and",   "because", "between", "bread",   "brother",  "city",  "cloud",  "daughter", "day",  "earth", "father",
    "field", "fire",    "for",     "from",    "gate",     "gold",  "great",  "ground",   "hand", "heart", "house",
    "king",  "light",   "many",    "morning", "mountain", "night", "people", "river",    "sea",  "seven", "shall",
    "stone", "the",     "they",    "tree",    "upon",     "voice", "water",  "when",     "wind", "with",  "year",
};

/* The key's secret is hashed with what it is for, so that nothing is learnt of it. */
static void draw(const struct challenge_terms *terms, struct hash *ret_seed)
{
    uint8_t ids[16];
    struct keccak k;
    be64_put(ids, terms->network);
    be64_put(ids + 8, terms->round);
    keccak_init(&k);
    keccak_add(&k, SEED_TAG, TAG_SIZE);
    keccak_add(&k, key_secret(terms->key), KEY_SECRET_SIZE);
    keccak_add(&k, ids, sizeof ids);
    keccak_end(&k, ret_seed);
}

/* Words that, with the answer, fit a context in which each byte may be a token. */
static void write_prompt(struct prng *prng, uint32_t size_max, struct buf *out)
{
    for (int i = 0; i < CHALLENGE_WORDS; i++) {
        const char *next = word[prng_below(prng, ARRAY_COUNT(word))];
        if (out->size + strlen(next) + 1 > size_max)
            return;
        buf_printf(out, "%s%s", i ? " " : "", next);
    }
}

static enum cx_err write_request(const struct challenge_terms *terms, struct prng *prng, struct challenge *c)
{
    struct buf prompt = {0}, body = {0};
    struct json_out out;
    struct request request;
    c->tokens_max = u32_min(CHALLENGE_TOKENS_MAX, u32_max(terms->context / 4, 1));
    write_prompt(prng, terms->context / 2, &prompt);
    json_out_init(&out, &body);
    json_out_object(&out, NULL);
    json_out_text(&out, "model", terms->model);
    json_out_bytes(&out, "prompt", prompt.data ? prompt.data : "", prompt.size);
    json_out_u64(&out, "max_tokens", c->tokens_max);
    json_out_u64(&out, "temperature", 0);
    json_out_end(&out);
    enum cx_err err = request_read_completion(body.data, body.size, &request);
    if (!err) {
        request_canonical(&request, &c->request);
        c->prompt_size = request.prompt_size;
        request_close(&request);
    }
    buf_done(&prompt);
    buf_done(&body);
    return err;
}

enum cx_err challenge_make(const struct challenge_terms *terms, struct challenge *ret_challenge)
{
    struct hash seed;
    struct prng prng;
    struct keccak k;
    struct challenge c = {0};
    draw(terms, &seed);
    prng.state = be64(seed.b);
    enum cx_err err = write_request(terms, &prng, &c);
    if (err)
        return err;
    /* The first half of the seed shows in the words, so the salt comes from a hash of all of it. */
    keccak256(seed.b, sizeof seed.b, &c.salt);
    sha256(c.request.data, c.request.size, &c.digest);
    request_digest(c.request.data, c.request.size, &c.request_digest);
    keccak_init(&k);
    keccak_add(&k, c.salt.b, sizeof c.salt.b);
    keccak_add(&k, c.digest.b, sizeof c.digest.b);
    keccak_end(&k, &c.commitment);
    *ret_challenge = c;
    return CX_OK;
}

void challenge_done(struct challenge *challenge) { buf_done(&challenge->request); }
