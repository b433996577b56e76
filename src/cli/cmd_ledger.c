/* corten ledger: a ledger on disk, checked, replayed and carried elsewhere, without a network. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hex.h"
#include "cli/command_line.h"
#include "cli/replay.h"
#include "ledger/ledger_tool.h"
#include "proto/fields_json.h"

static const struct option_info infos[] = {
    {"data", 'd', OPTION_TEXT, "DIR", NULL, "the folder of a router or of corten dev", 0, 0, false},
    {"ledger", 0, OPTION_TEXT, "URI", NULL, "in place of --data: sqlite:PATH", 0, 0, false},
    {"out", 'o', OPTION_TEXT, "FILE", NULL, "export, backup: the file to write", 0, 0, false},
    {"in", 'i', OPTION_TEXT, "FILE", NULL, "import: the file to read", 0, 0, false},
    OPTIONS_END,
};

static const char *uri_of(const struct options *options, char *text, size_t cap)
{
    if (option_text(options, "ledger"))
        return option_text(options, "ledger");
    if (!option_text(options, "data"))
        return NULL;
    snprintf(text, cap, "sqlite:%s/ledger.db", option_text(options, "data"));
    return text;
}

static void show_progress(void *ctx, uint64_t done, uint64_t total)
{
    const struct options *options = ctx;
    if (!isatty(STDERR_FILENO) || option_flag(options, "quiet"))
        return;
    if (total > 0)
        fprintf(stderr, "\r%llu of %llu (%llu %%) ", (unsigned long long)done, (unsigned long long)total,
                (unsigned long long)(done * 100 / total));
    if (done == total)
        fprintf(stderr, "\r\033[K");
}

static int print_totals(const struct options *options, const char *verb, const struct ledger_totals *t)
{
    char chain[65];
    hex_encode(t->head.chain.b, 32, chain);
    if (option_flag(options, "json"))
        printf("{\"entries\":%llu,\"batches\":%llu,\"bytes\":%llu,\"chain\":\"0x%s\"}\n",
               (unsigned long long)t->entries, (unsigned long long)t->batches, (unsigned long long)t->size, chain);
    else
        printf("%s %llu entries in %llu batches, chain 0x%s\n", verb, (unsigned long long)t->entries,
               (unsigned long long)t->batches, chain);
    return EXIT_DONE;
}

static enum cx_err verify_file(const char *uri)
{
    cx_auto(ledger) ledger = NULL;
    struct ledger_totals totals;
    enum cx_err err = ledger_open(uri, &(struct ledger_options){.mode = LEDGER_READ}, &ledger);
    return err ? err : ledger_verify(ledger, NULL, NULL, &totals);
}

/* verify: the chain and all else in the file, then every command through the core with a check of all tables at the
 * end. replay: the commands alone. */
static int replay(const struct options *options, const char *uri, bool verify)
{
    struct replay_result result;
    enum cx_err damage = verify ? verify_file(uri) : CX_OK;
    if (damage)
        return fail("ledger", damage);
    const struct replay_options how = {
        .uri = uri, .check = verify, .progress = show_progress, .ctx = (void *)(uintptr_t)options};
    enum cx_err err = replay_ledger(&how, &result);
    if (err)
        return fail("ledger", err);
    char digest[65], root[65];
    hex_encode(result.digest.b, 32, digest);
    hex_encode(result.root.b, 32, root);
    if (option_flag(options, "json"))
        printf("{\"seq\":%llu,\"digest\":\"0x%s\",\"root\":\"0x%s\",\"refused\":%llu,\"money_ok\":%s}\n",
               (unsigned long long)result.seq, digest, root, (unsigned long long)result.refused,
               result.money_holds ? "true" : "false");
    else
        printf("root 0x%s, %llu entries refused\nseq %llu digest 0x%s money %s\n", root,
               (unsigned long long)result.refused, (unsigned long long)result.seq, digest,
               result.money_holds ? "ok" : "NOT CONSERVED");
    if (!result.money_holds)
        fprintf(stderr, "corten ledger: money stopped adding up with entry %llu\n",
                (unsigned long long)result.money_broke_seq);
    return result.money_holds ? EXIT_DONE : EXIT_FAILED;
}

/* One entry a line: what was asked, what the core said, and what followed. */
static void print_entry(void *ctx, const struct ledger_entry *entry, const struct command *cmd, enum verdict verdict,
                        const struct event_list *events)
{
    struct buf line = {0};
    struct json_out out;
    (void)ctx;
    json_out_init(&out, &line);
    json_out_object(&out, NULL);
    json_out_u64(&out, "seq", entry->seq);
    json_out_u64(&out, "time_ms", entry->time_ms);
    if (cmd) {
        const struct command_info *info = command_find(cmd->type);
        json_out_object(&out, info->name);
        fields_json(&out, info->name, info->fields, &cmd->genesis);
        json_out_end(&out);
    }
    json_out_text(&out, "verdict", verdict_name(verdict));
    json_out_array(&out, "events");
    for (uint32_t i = 0; i < events->count; i++) {
        const struct event_info *info = event_find(events->event[i].type);
        json_out_object(&out, NULL);
        json_out_object(&out, info->name);
        fields_json(&out, info->name, info->fields, &events->event[i].network_opened);
        json_out_end(&out);
        json_out_end(&out);
    }
    json_out_end(&out);
    json_out_end(&out);
    puts(line.data);
    buf_done(&line);
}

static int show(const char *uri)
{
    struct replay_result result;
    enum cx_err err = replay_ledger(&(struct replay_options){.uri = uri, .each = print_entry}, &result);
    return err ? fail("ledger", err) : EXIT_DONE;
}

static int export(const struct options *options, const char *uri)
{
    const char *out = option_text(options, "out");
    cx_auto(ledger) ledger = NULL;
    struct ledger_totals totals;
    if (!out)
        return fail_usage("ledger", "export needs --out FILE");
    enum cx_err err = ledger_open(uri, &(struct ledger_options){.mode = LEDGER_READ}, &ledger);
    if (!err)
        err = ledger_export(ledger, out, show_progress, (void *)(uintptr_t)options, &totals);
    return err ? fail("ledger", err) : print_totals(options, "exported", &totals);
}

static int import(const struct options *options, const char *uri)
{
    const char *in = option_text(options, "in");
    struct ledger_totals totals;
    if (!in)
        return fail_usage("ledger", "import needs --in FILE");
    enum cx_err err = ledger_import(in, uri, show_progress, (void *)(uintptr_t)options, &totals);
    return err ? fail("ledger", err) : print_totals(options, "imported", &totals);
}

static int backup(const struct options *options, const char *uri)
{
    const char *out = option_text(options, "out");
    struct ledger_totals totals;
    if (!out)
        return fail_usage("ledger", "backup needs --out FILE");
    enum cx_err err = ledger_backup(uri, out, show_progress, (void *)(uintptr_t)options, &totals);
    return err ? fail("ledger", err) : print_totals(options, "backed up", &totals);
}

static int run(const struct options *options)
{
    char text[4200];
    const char *uri = uri_of(options, text, sizeof text);
    if (options->arguments != 1)
        return fail_usage("ledger", "expected verify, replay, show, export, import or backup");
    if (!uri)
        return fail_usage("ledger", "--data DIR or --ledger URI is missing");
    const char *verb = options->argument[0];
    if (strcmp(verb, "verify") == 0 || strcmp(verb, "replay") == 0)
        return replay(options, uri, verb[0] == 'v');
    if (strcmp(verb, "show") == 0)
        return show(uri);
    if (strcmp(verb, "export") == 0)
        return export(options, uri);
    if (strcmp(verb, "import") == 0)
        return import(options, uri);
    if (strcmp(verb, "backup") == 0)
        return backup(options, uri);
    return fail_usage("ledger", "there is no \"%s\"; expected verify, replay, show, export, import or backup", verb);
}

const struct subcommand cmd_ledger = {
    .name = "ledger",
    .arguments = "verify | replay | show | export | import | backup  --data DIR",
    .summary = "check, replay, show, export, import or back up a ledger",
    .text = "Everything that a network decided is in its ledger, and anybody who has it can decide it again.\n\n"
            "  corten ledger verify --data DIR             checks every byte, signature, rule and sum\n"
            "  corten ledger replay --data DIR             applies it again, without looking at the tables\n"
            "  corten ledger show --data DIR               one entry a line: command, verdict, events, as JSON\n"
            "  corten ledger backup --data DIR --out FILE  copies it, also while a router is running\n"
            "  corten ledger export --data DIR --out FILE  writes the portable form\n"
            "  corten ledger import --ledger sqlite:NEW --in FILE\n\n"
            "verify and replay end with: seq N digest 0x… money ok. The digest is that of GET /api/v1/status.\n",
    .options = infos,
    .run = run,
};
