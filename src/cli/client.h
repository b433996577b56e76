/* client.h - one HTTP request to a router, waited for: what the small subcommands need. */
#ifndef CORTEN_CLI_CLIENT_H
#define CORTEN_CLI_CLIENT_H

#include "base/buf.h"
#include "base/err.h"
#include "cli/options.h"
#include "proto/json.h"

/* --url URL and --api-key KEY, for the tables of those who use this. */
#define CLIENT_OPTIONS                                                                              \
    {"url", 'u', OPTION_TEXT, "URL", "http://127.0.0.1:5010", "the router", 0, 0, false},           \
    {                                                                                               \
        "api-key", 'k', OPTION_TEXT, "KEY", "default-dev-token", "the key to ask with", 0, 0, false \
    }

struct client_request {
    const char *url, *api_key;  // the router's base
    const char *method;         // NULL: GET, or POST with a body
    const char *path;           // "/v1/models"
    const char *body;           // JSON; NULL: none
    const char *content_type;   // of the body; NULL: application/json
    size_t body_size;           // 0: strlen(body)
    /* Pieces of a streamed answer as they come; NULL: gathered. */
    void (*on_piece)(void *ctx, const char *data, size_t size);
    void *ctx;
};
struct client_answer {
    unsigned status;
    struct buf body;
};

/* CX_OK: there is an answer, whatever its status. */
enum cx_err client_send(const struct client_request *request, struct client_answer *ret_answer);
void client_answer_done(struct client_answer *answer);
/* Sends, and takes a status of 400 or more for a failure, with the answer's own words: "CODE: message". *ret_json: the
 * answer's JSON, to be json_decref'd. */
enum cx_err client_json(const struct options *options, const char *method, const char *path, const char *body,
                        json_t **ret_json);
/* The words of an error answer as this thread's detail; gives CX_DENIED for 401 and 403, CX_NOT_FOUND for 404, else
 * CX_INVALID or CX_IO. */
enum cx_err client_error(unsigned status, const char *body, size_t size);

#endif
