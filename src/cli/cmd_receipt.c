/* corten receipt: proof of an answer, fetched and checked; checking needs no network. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/client.h"
#include "cli/command_line.h"
#include "cli/input.h"
#include "proto/receipt.h"

#define FILE_SIZE_MAX (16u << 20)

static const struct option_info infos[] = {
    {"text", 't', OPTION_TEXT, "FILE", NULL, "verify: the answer's text, to see that it is this receipt's", 0, 0,
     false},
    CLIENT_OPTIONS,
    OPTIONS_END,
};

static enum cx_err verify_files(const char *path, const char *text_path, struct buf *ret_report)
{
    struct buf json = {0}, text = {0};
    struct receipt *receipt = malloc(sizeof *receipt);
    cx_assert(receipt);
    enum cx_err err = input_read(path, FILE_SIZE_MAX, &json);
    if (!err && text_path)
        err = input_read(text_path, FILE_SIZE_MAX, &text);
    if (!err)
        err = receipt_read(json.data ? json.data : "", json.size, receipt);
    if (!err)
        err = receipt_verify(receipt, text_path ? (text.data ? text.data : "") : NULL, text.size, ret_report);
    free(receipt);
    buf_done(&json);
    buf_done(&text);
    return err;
}

static int verify(const struct options *options)
{
    struct buf report = {0};
    enum cx_err err = verify_files(options->argument[1], option_text(options, "text"), &report);
    if (option_flag(options, "json")) {
        struct buf out = {0};
        buf_printf(&out, "{\"valid\":%s,\"reason\":", err ? "false" : "true");
        buf_json_string(&out, err ? cx_detail() : "", err ? strlen(cx_detail()) : 0);
        printf("%s}\n", out.data);
        buf_done(&out);
    } else {
        fputs(report.data ? report.data : "", stdout);
        if (!err)
            puts("valid");
        else
            printf("NOT VALID: %s\n", cx_detail());
    }
    buf_done(&report);
    return err ? EXIT_FAILED : EXIT_DONE;
}

static int get(const struct options *options)
{
    char path[128];
    json_t *json = NULL;
    snprintf(path, sizeof path, "/api/v3/receipts/%.64s", options->argument[1]);
    enum cx_err err = client_json(options, NULL, path, NULL, &json);
    if (err)
        return fail("receipt", err);
    json_dumpf(json, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(json);
    return EXIT_DONE;
}

static int run(const struct options *options)
{
    if (options->arguments != 2)
        return fail_usage("receipt", "expected verify FILE or get TASK");
    if (strcmp(options->argument[0], "verify") == 0)
        return verify(options);
    if (strcmp(options->argument[0], "get") == 0)
        return get(options);
    return fail_usage("receipt", "there is no \"%s\"; expected verify or get", options->argument[0]);
}

const struct subcommand cmd_receipt = {
    .name = "receipt",
    .arguments = "get TASK | verify FILE",
    .summary = "fetch and check the proof of an answer",
    .text = "A receipt proves which node answered what: the node signed a hash of its answer before anybody saw it.\n\n"
            "  corten receipt get TASK > r.json           asks the router\n"
            "  corten receipt verify r.json               checks hashes, signatures and policy, offline\n"
            "  corten receipt verify r.json --text a.txt  and that this text is the answer\n",
    .options = infos,
    .run = run,
};
