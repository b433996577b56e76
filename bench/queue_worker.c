#include "queue_worker.h"

#include <stdlib.h>
#include <string.h>

#include "core/record.h"
#include "crypto/blake3.h"
#include "crypto/keccak.h"
#include "measure.h"
#include "miner/router_link.h"
#include "proto/entry.h"
#include "proto/request.h"

static const char answer[] = "done";

struct queue_worker {
    struct router_link *link;
    const struct key *key;
    struct hash manifest, text_digest;
    bool up;
};

static bool on_challenge(void *ctx, const struct link_challenge *challenge, struct link_hello *ret_hello)
{
    struct queue_worker *w = ctx;
    BENCH_MUST(challenge->models == 1);
    w->manifest = challenge->model[0].manifest;
    ret_hello->operator= * key_address(w->key);
    ret_hello->engine = ENGINE_ECHO;
    ret_hello->slots = NODE_SLOTS_MAX;
    ret_hello->build = "bench";
    return true;
}

static uint32_t make_record(struct queue_worker *w, const struct link_offer *offer, uint8_t *ret_bytes)
{
    struct record record = {.manifest_digest = w->manifest,
                            .engine = ENGINE_ECHO,
                            .seed = offer->seed,
                            .seed_of_client = offer->seed_of_client,
                            .text_digest = w->text_digest,
                            .finish = FINISH_STOP,
                            .tokens_in = 1,
                            .tokens_out = 1};
    request_digest(offer->request.data, offer->request.size, &record.request_digest);
    keccak256("", 0, &record.tokens_digest);
    chain_start(router_link_network(w->link), offer->task, offer->lease, &record.chain_head);
    chain_extend(&record.chain_head, answer, sizeof answer - 1);
    return record_encode(&record, ret_bytes, RECORD_SIZE_MAX);
}

static void precommit(struct queue_worker *w, const struct link_offer *offer, struct span record,
                      const struct hash *salt)
{
    struct link_frame frame = {.type = LINK_PRECOMMIT,
                               .precommit = {.lease = offer->lease, .has_signature = !offer->channel}};
    const struct precommit_terms terms = {.network_id = router_link_network(w->link),
                                          .session = offer->session,
                                          .task = offer->task,
                                          .lease = offer->lease,
                                          .node = *key_address(w->key),
                                          .salt = *salt};
    precommit_hash(&terms, record, &frame.precommit.precommit);
    const struct command cmd = {.type = COMMAND_TASK_PRECOMMIT,
                                .task_precommit = {.lease = offer->lease, .precommit = frame.precommit.precommit}};
    if (!offer->channel)
        entry_signature(&cmd, terms.network_id, w->key, frame.precommit.signature);
    BENCH_MUST(router_link_send(w->link, &frame));
}

/* With redundancy 1 all three may go out without waiting in between: docs/protocol.md, "Tasks". */
static void on_offer(struct queue_worker *w, const struct link_offer *offer)
{
    uint8_t record[RECORD_SIZE_MAX];
    struct hash salt;
    BENCH_MUST(offer->together && !offer->round);
    blake3(&offer->lease, sizeof offer->lease, &salt);  // nobody else reveals here: it need not be a secret
    const struct span bytes = {record, make_record(w, offer, record)};
    BENCH_MUST(router_link_send(w->link, &(struct link_frame){.type = LINK_ACK, .ack.lease = offer->lease}));
    precommit(w, offer, bytes, &salt);
    const struct link_frame commit = {.type = LINK_COMMIT,
                                      .commit = {.lease = offer->lease,
                                                 .salt = salt,
                                                 .record = bytes,
                                                 .text = {(const uint8_t *)answer, sizeof answer - 1}}};
    BENCH_MUST(router_link_send(w->link, &commit));
}

static void on_frame(void *ctx, struct link_frame *frame)
{
    struct queue_worker *w = ctx;
    if (frame->type == LINK_WELCOME)
        w->up = frame->welcome.link > 0;
    if (frame->type == LINK_OFFER)
        on_offer(w, &frame->offer);
    if (frame->type == LINK_RECALL)
        BENCH_MUST(frame->recall.cause == CAUSE_NONE);
}

static void on_down(void *ctx, const char *why)
{
    struct queue_worker *w = ctx;
    if (w->up)
        bench_failed(__FILE__, __LINE__, why);
}

static void on_drain(void *ctx) { (void)ctx; }

struct queue_worker *queue_worker_open(struct net_loop *loop, const char *url, const struct key *key)
{
    static const struct router_link_events events = {on_challenge, on_frame, on_down, on_drain};
    struct queue_worker *w = bench_take(1, sizeof *w);
    w->key = key;
    keccak256(answer, sizeof answer - 1, &w->text_digest);
    const struct router_link_options options = {.loop = loop,
                                                .url = url,
                                                .path = LINK_PATH_MINER,
                                                .protocols = LINK_PROTOCOL_MINER_BINARY,
                                                .place = "worker",
                                                .key = key,
                                                .events = &events,
                                                .ctx = w};
    BENCH_MUST(router_link_open(&options, &w->link) == CX_OK);
    router_link_start(w->link);
    return w;
}

bool queue_worker_is_up(const struct queue_worker *w) { return w->up; }

void queue_worker_close(struct queue_worker *w)
{
    if (!w)
        return;
    router_link_close(w->link);
    free(w);
}
