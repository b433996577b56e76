#include "sim/found.h"

#include <stdio.h>

#include "base/assert.h"
#include "sim/shrink.h"
#include "sim/trace_text.h"

static void on_entry(void *ctx, const struct sim_router *router, const struct replica_moment *moment)
{
    struct found *found = ctx;
    (void)router;
    if (moment->seq <= found->seen_seq)
        return;
    found->seen_seq = moment->seq;
    history_add_real(&found->history, moment->command, moment->time_ms, &moment->author, moment->entry);
}

void found_begin(struct found *found, struct sim *sim)
{
    *found = (struct found){.observer = {.ctx = found, .on_entry = on_entry}};
    sim_observe(sim, &found->observer);
}

static bool write_file(const char *path, const struct buf *text)
{
    FILE *file = fopen(path, "w");
    if (!file)
        return false;
    bool written = fwrite(text->data, 1, text->size, file) == text->size;
    return fclose(file) == 0 && written;
}

static void save(const struct history *small, const struct check *check, const struct shrink_report *report,
                 uint64_t seed, const char *folder, struct buf *out)
{
    struct buf text = {0}, path = {0}, comment = {0};
    buf_printf(&path, "%s/found_%s_%llu.trace", folder, checker_name(check->checker), (unsigned long long)seed);
    buf_printf(&comment, "# Found by build/sim --seed %llu, %u of %u entries left: %s.\n# %s\n",
               (unsigned long long)seed, report->to, report->from, checker_name(check->checker), check->text);
    trace_write(small, comment.data, &text);
    if (write_file(path.data, &text))
        buf_printf(out, "  shrunk from %u to %u entries: %s\n", report->from, report->to, path.data);
    else
        buf_printf(out, "  %s cannot be written\n", path.data);
    buf_done(&text);
    buf_done(&path);
    buf_done(&comment);
}

void found_save(struct found *found, uint64_t seed, const char *folder, struct buf *out)
{
    struct history small = {0};
    struct check check = {0};
    struct shrink_report report = {0};
    if (shrink(&found->history, NULL, &small, &check, &report))
        save(&small, &check, &report, seed, folder, out);
    else
        buf_text(out, "  its entries alone do not fail: what failed needs the network around them\n");
    history_done(&small);
}

void found_done(struct found *found) { history_done(&found->history); }
