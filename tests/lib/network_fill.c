/* What commands commonly hold, and who signs them. */
#include "crypto/keccak.h"
#include "lib/network.h"
#include "lib/test.h"

static struct span text_span(const char *text) { return (struct span){(const uint8_t *)text, (uint32_t)strlen(text)}; }

static uint64_t first_model(const struct network *n)
{
    struct model_view m;
    uint32_t at = 0;
    return view_model_at(n->core, &at, &m) ? m.id : 0;
}

/* ---- answers ---- */

struct place {
    uint64_t task, session, seed;
    struct address node;
    struct hash request_digest;
    uint64_t model;
};

static bool place_of_round(const struct network *n, uint64_t lease, struct place *ret)
{
    struct round_view r;
    for (uint32_t at = 0; view_round_at(n->core, &at, &r);)
        for (uint32_t i = 0; i < r.places; i++)
            if (r.place[i].lease == lease) {
                *ret = (struct place){r.id, 0, r.place[i].seed, r.place[i].node, r.request_digest, r.model};
                return true;
            }
    return false;
}

static bool place_of(const struct network *n, uint64_t lease, struct place *ret)
{
    struct assignment_view a;
    struct task_view t;
    struct session_view s;
    if (!view_assignment(n->core, lease, &a))
        return place_of_round(n, lease, ret);
    CHECK(view_task(n->core, a.task, &t) && view_session(n->core, a.session, &s));
    *ret = (struct place){a.task, a.session, a.seed, a.node, t.request_digest, s.model};
    return true;
}

static struct network_answer *answer_find(struct network *n, uint64_t lease)
{
    for (uint32_t i = n->answer_count; i > 0; i--)
        if (n->answer[i - 1].lease == lease)
            return &n->answer[i - 1];
    return NULL;
}

struct network_answer *network_answer(struct network *n, uint64_t lease, const char *text)
{
    struct place place;
    struct model_view model;
    if (n->answer_count == n->answer_cap) {
        n->answer_cap = n->answer_cap ? n->answer_cap * 2 : 64;
        n->answer = realloc(n->answer, n->answer_cap * sizeof *n->answer);
        CHECK(n->answer);
    }
    struct network_answer *a = &n->answer[n->answer_count++];
    *a = (struct network_answer){.lease = lease, .salt = test_hash('z', (uint32_t)lease)};
    if (!place_of(n, lease, &place))
        return a;  // a lease that is not live: whatever comes is refused
    CHECK(view_model(n->core, place.model, &model));
    a->text_size = (uint32_t)strlen(text);
    struct record record = {
        .manifest_digest = model.manifest_digest,
        .engine = n->options.engine,
        .seed = place.seed,
        .request_digest = place.request_digest,
        .tokens_in = 10,
        .tokens_out = 1 + a->text_size / 4,
    };
    chain_start(NETWORK_ID, place.task, lease, &record.chain_head);
    chain_extend(&record.chain_head, text, a->text_size);
    keccak256(text, a->text_size, &record.text_digest);
    keccak256(NULL, 0, &record.tokens_digest);
    a->head = record.chain_head;
    a->payload_digest = record.text_digest;  // any 32 bytes that go with the text
    a->record_size = record_encode(&record, a->record, sizeof a->record);
    struct precommit_terms terms = {NETWORK_ID, place.session, place.task, lease, place.node, a->salt};
    precommit_hash(&terms, (struct span){a->record, a->record_size}, &a->precommit);
    return a;
}

static struct network_answer *answer_of(struct network *n, uint64_t lease)
{
    struct network_answer *a = answer_find(n, lease);
    return a ? a : network_answer(n, lease, "an answer");
}

/* ---- commands ---- */

/* Where the oracle's chain stands: how many values of it were revealed. NETWORK_CHAIN: it is another one. */
static uint32_t revealed(const struct network *n, uint32_t i, const struct hash *chain)
{
    for (uint32_t k = 0; k < NETWORK_CHAIN; k++) {
        uint32_t at = (n->revealed[i] + k) % NETWORK_CHAIN;
        if (hash_eq(&n->chain[i][NETWORK_CHAIN - at], chain))
            return at;
    }
    return NETWORK_CHAIN;
}

static void fill_heartbeat(struct network *n, struct command *cmd)
{
    for (uint32_t i = 0; i < n->options.oracles; i++) {
        struct address oracle = test_address('O', i + 1);
        struct oracle_view o;
        if (!address_eq(&cmd->signer[0], &oracle) || !view_oracle(n->core, &oracle, &o))
            continue;
        uint32_t at = revealed(n, i, &o.chain);
        if (at == NETWORK_CHAIN)
            continue;
        n->revealed[i] = at;
        cmd->oracle_heartbeat.preimage = n->chain[i][NETWORK_CHAIN - at - 1];
    }
    cmd->oracle_heartbeat.duties = DUTY_ROUND | DUTY_AUDIT | DUTY_JUDGE;
}

/* The oracle's chain from its end on, once more. */
static void fill_chain(struct network *n, struct command *cmd)
{
    for (uint32_t i = 0; i < n->options.oracles; i++) {
        struct address oracle = test_address('O', i + 1);
        if (address_eq(&cmd->signer[0], &oracle))
            cmd->oracle_chain.chain_end = n->chain[i][NETWORK_CHAIN];
    }
}

static void fill_session(struct network *n, struct cmd_session_open *s)
{
    uint8_t redundancy = s->redundancy ? s->redundancy : 1;
    uint16_t nodes_min = s->nodes_min > redundancy ? s->nodes_min : redundancy;
    *s = (struct cmd_session_open){
        .owner = address_is_zero(&s->owner) ? test_address('U', 1) : s->owner,
        .model = s->model ? s->model : first_model(n),
        .shared = s->shared,
        .redundancy = redundancy,
        .quorum = (uint8_t)(redundancy / 2 + 1),
        .nodes_min = nodes_min,
        .nodes_max = nodes_min,
        .reserve_ms = 3600000,
        .tasks_per_node_max = 100000,
        .validation = s->validation,
        .pays = s->shared ? PAYS_PAYER : PAYS_OWNER,
        .price_in_max = 1000000,
        .price_out_max = 2000000,
        .priority = 5,
        .tokens_max = 64,
        .attempts_max = 3,
        .ack_ms = 2000,
        .precommit_ms = 10000,
        .commit_ms = 3000,
        .total_ms = 60000,
        .open_ms = 30000,
        .drain_ms = 10000,
        .escrow = amount_of(s->shared ? 0 : 1000000),
        .name = text_span("a session"),
    };
}

static void fill_submit(struct network *n, struct cmd_task_submit *t)
{
    struct session_view s;
    struct address payer = test_address('U', 1);
    if (view_session(n->core, t->session, &s) && !s.shared)
        payer = s.owner;
    *t = (struct cmd_task_submit){
        .payer = address_is_zero(&t->payer) ? payer : t->payer,
        .session = t->session,
        .reference = test_hash('r', ++n->references),
        .request_digest = test_hash('q', n->references),
        .prompt_digest = test_hash('p', n->references),
        .prompt_size = 100,
        .priority = PRIORITY_DEFAULT,
        .stream = 1,
        .greedy = 1,
    };
}

static void fill_commit(struct network *n, struct cmd_task_commit *c)
{
    struct assignment_view assignment;
    const struct network_answer *a = answer_of(n, c->lease);
    bool streams = view_assignment(n->core, c->lease, &assignment) && assignment.primary;
    *c = (struct cmd_task_commit){
        .lease = c->lease,
        .salt = a->salt,
        .payload_digest = a->payload_digest,
        .payload_size = a->text_size,
        .text_size = a->text_size,
        .relayed_head = streams ? a->head : (struct hash){{0}},
        .relayed_tokens = streams ? 1 + a->text_size / 4 : 0,
        .ttft_ms = 50,
        .duration_ms = 500,
        .record = {a->record, a->record_size},
    };
}

static void fill_round_commit(struct network *n, struct cmd_round_commit *c)
{
    const struct network_answer *a = answer_of(n, c->lease);
    *c = (struct cmd_round_commit){
        .lease = c->lease,
        .salt = a->salt,
        .payload_digest = a->payload_digest,
        .payload_size = a->text_size,
        .ttft_ms = 50,
        .duration_ms = 500,
        .record = {a->record, a->record_size},
    };
}

static void challenge_hash(uint64_t round, struct hash *ret_hash)
{
    struct hash part[2] = {test_hash('x', (uint32_t)round), test_hash('y', (uint32_t)round)};
    keccak256(part, sizeof part, ret_hash);
}

static void fill_register(struct network *n, struct cmd_node_register *r)
{
    const struct params *params = view_params(n->core);
    uint32_t i = (uint32_t)r->node.b[18] << 8 | r->node.b[19];
    uint32_t operators = n->options.operators ? n->options.operators : UINT32_MAX;
    *r = (struct cmd_node_register){
        .node = r->node,
        .operator= address_is_zero(&r->operator) ? test_address('N', (i - 1) % operators + 1) : r->operator,
        .encryption_key = test_hash('e', i),
        .slots = n->options.slots,
        .engine = n->options.engine,
        .stake = amount_of(params->stake_min),
        .build = text_span("echo 1"),
    };
}

void network_fill(struct network *n, struct command *cmd)
{
    switch (cmd->type) {
    case COMMAND_ORACLE_HEARTBEAT: fill_heartbeat(n, cmd); return;
    case COMMAND_ORACLE_CHAIN: fill_chain(n, cmd); return;
    case COMMAND_DEPOSIT:
        cmd->deposit.amount = amount_of(NETWORK_USER_COIN);
        cmd->deposit.reference = test_hash('d', ++n->references);
        return;
    case COMMAND_MODEL_PUT:
        cmd->model_put = (struct cmd_model_put){
            .manifest_digest = test_hash('m', 1),
            .context = 4096,
            .template_tokens = 16,
            .price_in_max = PRICE_MAX,
            .price_out_max = PRICE_MAX,
            .name = text_span("echo"),
            .aliases = text_span("echo-1"),
        };
        return;
    case COMMAND_NODE_REGISTER: fill_register(n, &cmd->node_register); return;
    case COMMAND_NODE_MODEL_PUT:
        cmd->node_model_put.model = first_model(n);
        cmd->node_model_put.context = 4096;
        cmd->node_model_put.price_in = n->options.price_in;
        cmd->node_model_put.price_out = n->options.price_out;
        cmd->node_model_put.ttft_ms = 100;
        cmd->node_model_put.tokens_per_s_milli = 50000;
        return;
    case COMMAND_NODE_ATTACH: cmd->node_attach.link = ++n->links; return;
    case COMMAND_NODE_DETACH: {
        struct node_view node;
        if (view_node(n->core, &cmd->node_detach.node, &node))
            for (uint32_t i = 0; i < node.links; i++)
                if (address_is_zero(&cmd->author) || address_eq(&cmd->author, &node.link[i].router))
                    cmd->node_detach.link = node.link[i].link;
        return;
    }
    case COMMAND_KEY_PUT: cmd->key_put.scopes = SCOPE_INFER; return;
    case COMMAND_SESSION_OPEN: fill_session(n, &cmd->session_open); return;
    case COMMAND_TASK_SUBMIT: fill_submit(n, &cmd->task_submit); return;
    case COMMAND_TASK_CANCEL: {
        struct task_view t;
        if (address_is_zero(&cmd->task_cancel.payer) && view_task(n->core, cmd->task_cancel.task, &t))
            cmd->task_cancel.payer = t.payer;
        return;
    }
    case COMMAND_TASK_PRECOMMIT:
        cmd->task_precommit.precommit = answer_of(n, cmd->task_precommit.lease)->precommit;
        return;
    case COMMAND_TASK_COMMIT: fill_commit(n, &cmd->task_commit); return;
    case COMMAND_TASK_FAULT: cmd->task_fault.cause = CAUSE_ENGINE; return;
    case COMMAND_ROUND_PREPARE:
        challenge_hash(cmd->round_prepare.round, &cmd->round_prepare.challenge_hash);
        cmd->round_prepare.prompt_size = 20;
        cmd->round_prepare.tokens_max = 16;
        return;
    case COMMAND_ROUND_START:
        cmd->round_start.salt = test_hash('x', (uint32_t)cmd->round_start.round);
        cmd->round_start.challenge_digest = test_hash('y', (uint32_t)cmd->round_start.round);
        cmd->round_start.request_digest = test_hash('q', (uint32_t)cmd->round_start.round);
        return;
    case COMMAND_ROUND_PRECOMMIT:
        cmd->round_precommit.precommit = answer_of(n, cmd->round_precommit.lease)->precommit;
        return;
    case COMMAND_ROUND_COMMIT: fill_round_commit(n, &cmd->round_commit); return;
    case COMMAND_ROUND_VERDICT:
        cmd->round_verdict.right = LAYER_HELD;
        cmd->round_verdict.fast = LAYER_HELD;
        cmd->round_verdict.context = 4096;
        return;
    case COMMAND_AUDIT_VERDICT: cmd->audit_verdict.finding = FINDING_PASS; return;
    case COMMAND_GENESIS:
    case COMMAND_PARAMS_SET:
    case COMMAND_RULES_SET:
    case COMMAND_ORACLE_ADD:
    case COMMAND_ORACLE_REMOVE:
    case COMMAND_ROUTER_ADD:
    case COMMAND_ROUTER_REMOVE:
    case COMMAND_TICK:
    case COMMAND_ROUTER_HEARTBEAT:
    case COMMAND_WITHDRAW:
    case COMMAND_WITHDRAW_PAID:
    case COMMAND_ACCOUNT_BIND:
    case COMMAND_KEY_REVOKE:
    case COMMAND_DELEGATE_SET:
    case COMMAND_ACCOUNT_RESTRICT:
    case COMMAND_MODEL_REMOVE:
    case COMMAND_NODE_LEAVE:
    case COMMAND_NODE_APPROVE:
    case COMMAND_NODE_INVITE:
    case COMMAND_BAN_LIFT:
    case COMMAND_SESSION_TOP_UP:
    case COMMAND_SESSION_CLOSE:
    case COMMAND_SESSION_NODE_ADD:
    case COMMAND_SESSION_NODE_REMOVE:
    case COMMAND_SESSION_POOL_PUT:
    case COMMAND_TASK_ACK:
    case COMMAND_TASK_DECLINE:
    case COMMAND_TASK_PRIMARY:
    case COMMAND_TASK_STREAMS:
    case COMMAND_TASK_ADOPT:
    case COMMAND_ROUND_CREATE:
    case COMMAND_ROUND_ACK:
    case COMMAND_ROUND_ABORT:
    case COMMAND_AUDIT_ASK:
    case COMMAND_TYPE_END: return;
    }
}

/* ---- signers ---- */

static void add_signer(struct command *cmd, const struct address *signer)
{
    if (!address_is_zero(signer) && cmd->signer_count < SIGNATURES_MAX)
        cmd->signer[cmd->signer_count++] = *signer;
}

/* The router that has custody of the named account need not sign. */
static bool is_in_custody(const struct network *n, const struct command *cmd, const struct address *account)
{
    struct account_view a;
    struct address router = test_address('R', 1), custodial;
    account_custodial(&router, &cmd->key_put.key_hash, &custodial);
    if (cmd->type == COMMAND_KEY_PUT && address_eq(&custodial, account))
        return true;  // its first key makes it
    return view_account(n->core, account, &a) && a.custodial;
}

static void sign_as_owner(const struct network *n, struct command *cmd, const struct address *owner)
{
    struct node_view node;
    struct router_view router;
    if (is_in_custody(n, cmd, owner) || view_router(n->core, owner, &router))
        return;
    add_signer(cmd, owner);
    if (cmd->type == COMMAND_SESSION_NODE_ADD && view_node(n->core, &cmd->session_node_add.node, &node))
        add_signer(cmd, &node.operator);
}

static void sign_as_lease(const struct network *n, struct command *cmd)
{
    struct place place;
    if (place_of(n, cmd->task_precommit.lease, &place))
        add_signer(cmd, &place.node);
    else
        add_signer(cmd, &(struct address){{'?'}});
}

/* What is about a lease or a task comes from the task's router. */
static void append_as_router(const struct network *n, struct command *cmd)
{
    struct assignment_view a = {0};
    struct task_view t;
    struct router_view r;
    bool is_task = cmd->type >= COMMAND_TASK_ACK && cmd->type <= COMMAND_TASK_FAULT && cmd->type != COMMAND_TASK_ADOPT;
    if (!address_is_zero(&cmd->author) || !is_task || !view_assignment(n->core, cmd->task_ack.lease, &a))
        return;
    if (view_task(n->core, a.task, &t) && view_router(n->core, &t.router, &r))
        cmd->author = t.router;
}

void network_sign(struct network *n, struct command *cmd)
{
    const struct address *named = (const struct address *)(const void *)&cmd->genesis;
    struct network_view net;
    if (cmd->nonce == 0)
        cmd->nonce = ++n->nonce;
    append_as_router(n, cmd);
    if (cmd->signer_count > 0)
        return;
    switch (command_find((uint32_t)cmd->type)->authority) {
    case AUTHORITY_GENESIS:
    case AUTHORITY_ROUTER: break;
    case AUTHORITY_OWNER:
    case AUTHORITY_PAYER: sign_as_owner(n, cmd, named); break;
    case AUTHORITY_NODE:
        add_signer(cmd, named);
        if (cmd->type == COMMAND_NODE_REGISTER && !address_eq(named, &cmd->node_register.operator))
            add_signer(cmd, &cmd->node_register.operator);
        break;
    case AUTHORITY_LEASE: sign_as_lease(n, cmd); break;
    case AUTHORITY_ORACLE: add_signer(cmd, &(struct address[]){test_address('O', 1)}[0]); break;
    case AUTHORITY_LEADER:
        view_network(n->core, &net);
        add_signer(cmd, address_is_zero(&net.leader) ? &(struct address[]){test_address('O', 1)}[0] : &net.leader);
        break;
    case AUTHORITY_ADMIN:
        for (uint32_t i = 1; i <= n->options.admin_quorum; i++)
            add_signer(cmd, &(struct address[]){test_address('A', i)}[0]);
        break;
    }
}
