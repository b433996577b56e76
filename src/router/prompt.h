/* prompt.h - within src/router: one prompt, by whichever way it came: its session, its submission, its text, its end.
 *
 *      request --prompt_start--> select --session--> tasks_submit --on_accepted--> on_text… --> on_answer | on_error
 *      a task that exists --prompt_watch--------------------------------------> on_text… --> on_answer | on_error
 *
 * It ends once, by on_answer, on_error or on_dropped; then nothing more comes, and its owner calls prompt_done.
 */
#ifndef CORTEN_ROUTER_PROMPT_H
#define CORTEN_ROUTER_PROMPT_H

#include "proto/request.h"
#include "router/api_parts.h"

struct prompt_events {
    void (*on_accepted)(void *ctx);  // the task exists, durably; may be NULL
    void (*on_text)(void *ctx, const char *text, size_t size);
    void (*on_answer)(void *ctx, const struct task_end *end);  // COMPLETED; the text is there
    void (*on_error)(void *ctx, const struct api_error *error);
    void (*on_dropped)(void *ctx);  // the router goes without a word
};

struct prompt {
    struct prompt *next, **at;  // the api's list
    struct api *api;
    const struct prompt_events *events;
    void *ctx;
    struct key_view key;  // the asker's
    struct address account;
    const char *mode;  // session_mode by name, lent; NULL: not said
    bool chat;         // how the request calls its prompt
    bool stream;
    struct request request;
    struct buf canonical;
    struct hash reference;  // keccak256 of the client's; zero: none
    struct select_wait *wait;
    struct selected selected;
    struct task_watch *watch;
    uint64_t task, session;
    char model[65];
    char fingerprint[16];
    enum session_result result;
    uint32_t retries;              // of a session that closed under us
    bool known;                    // its reference named a task that was there before
    bool context;                  // a node declined for want of context
    size_t sent;                   // bytes of text that were handed on
    uint32_t sum;                  // text_sum of them
    bool summed;                   // it is known: who resumed without one has none
    struct net_timer interrupted;  // said soon, unless the task ends in the same moment
};

/* `p` is zero but for what the owner knows: api, events, ctx, key, account. */
void prompt_init(struct prompt *p);
/* Frees what it holds; leaves its task to itself, or cancels it where nobody else watches. */
void prompt_done(struct prompt *p, bool cancel);
/* The client's own name for it. False: *ret_error says why not. */
bool prompt_refer(struct prompt *p, struct span text, struct api_error *ret_error);
/* Finds the session for p->request, and submits. May end p before it returns. */
void prompt_start(struct prompt *p);
/* A task that exists, from behind that text on. Who only looks on cancels nothing. */
void prompt_watch(struct prompt *p, uint64_t session, uint64_t task, const struct text_mark *from);
/* Back-pressure. */
void prompt_pause(struct prompt *p);
void prompt_resume(struct prompt *p);

/* ---- of all prompts of an api ---- */

/* A decline for want of context is told by no end: it is noted as it happens. */
void prompts_on_event(struct api *api, const struct replica_moment *moment, const struct event *event);
void prompts_stop(struct api *api);  // with an error
void prompts_drop(struct api *api);  // without a word

#endif
