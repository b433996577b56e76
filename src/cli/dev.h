/* dev.h - a whole network in one terminal: a router in this process, miners and an oracle as children.
 *
 *      dev_open -> keys, genesis, router -> model, money -> miners, oracle -> on_ready (a prompt would be answered)
 */
#ifndef CORTEN_CLI_DEV_H
#define CORTEN_CLI_DEV_H

#include "base/err.h"
#include "net/loop.h"

#define DEV_API_KEY  "default-dev-token"
#define DEV_URL_SIZE 300
#define DEV_BALANCE  1000000000ull  // credits that the first key begins with: a thousand coins

struct dev;

struct dev_options {
    struct net_loop *loop;
    const char *listen;  // "127.0.0.1:5010"
    const char *data;    // the folder; NULL: a temporary one, gone at the end
    const char *engine, *model;
    const char *engine_key;  // the API key of an openai engine; NULL: none
    uint32_t miners, slots, redundancy;
    uint8_t validation;        // enum validation_policy, of the shared sessions
    const char *const *param;  // [params]: NAME=VALUE over those that dev sets itself
    uint32_t params;
    const char *const *fault;  // [faults]: "N:FAULT", given to the N'th miner; for tests
    uint32_t faults;
    bool no_oracle, quiet;
    /* The API key of a new network that others can reach, before it is on the ledger: tell it now or never. NULL: none.
     */
    void (*on_first_key)(void *ctx, const char *text);
    /* url is "http://HOST:PORT"; api_key is NULL where it existed before and cannot be shown again. */
    void (*on_ready)(void *ctx, const char *url, const char *api_key);
    void (*on_stopped)(void *ctx, enum cx_err err);  // the end; CX_OK after dev_stop
    void *ctx;
};

enum cx_err dev_open(const struct dev_options *options, struct dev **ret_dev);
/* Ends streams, miners and oracle; then on_stopped. */
void dev_stop(struct dev *dev);
void dev_close(struct dev *dev);
CX_CLOSER(dev)
const char *dev_url(const struct dev *dev);
const char *dev_folder(const struct dev *dev);

#endif
