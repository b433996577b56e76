#include "sim/run.h"

#include <jansson.h>
#include <sqlite3.h>

#include "base/assert.h"
#include "base/log.h"
#include "sim/adversary.h"
#include "sim/check_world.h"
#include "sim/client.h"
#include "sim/computer.h"
#include "sim/disk.h"
#include "sim/found.h"
#include "sim/roles.h"
#include "sim/trouble.h"

#define STEP_US   10000        // between two looks whether the clients are done
#define ASKING_US 60000000ull  // of phase two, in which clients go on asking

/* A simulated network has one thread: no locks, and nobody who asks how much memory SQLite has. */
static void prepare_sqlite(void)
{
    int code = sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    cx_assert(code == SQLITE_OK);
    code = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    cx_assert(code == SQLITE_OK);
}

void run_prepare(void)
{
    prepare_sqlite();
    computer_install_random();
    /* What is made at the first use of a key is made here, not on whose computer comes first. */
    struct hash digest = {{1}};
    uint8_t sig[SIGNATURE_SIZE];
    struct address signer;
    key_sign(role_key(ROLE_ADMIN, 0), &digest, sig);
    enum cx_err err = key_recover(&digest, sig, &signer);
    cx_assert(!err);
    json_object_seed(1);
    log_set_level(LOG_ERROR);
}

static void run_while_waiting(struct sim *sim, uint64_t until_us)
{
    while (sim_is_well(sim) && sim->now_us < until_us && !clients_are_done(sim->clients))
        sim_run_until(sim, sim->now_us + STEP_US);
}

static void phase_one(struct sim *sim)
{
    sim->clients = clients_open(sim);
    sim->trouble = trouble_begin(sim);
    observe_phase(sim, SIM_FAULTS_ON);
    run_while_waiting(sim, sim->now_us + 1000ull * sim->swarm.faults_ms);
    trouble_heal(sim->trouble);
    adversaries_heal(sim->adversaries);
}

/* First it must serve again; then whatever was accepted must end within its deadlines. */
static void phase_two(struct sim *sim)
{
    observe_phase(sim, SIM_HEALED);
    uint64_t healed_us = sim->now_us;
    run_while_waiting(sim, healed_us + ASKING_US);
    clients_stop_asking(sim->clients);
    run_while_waiting(sim, healed_us + 1000ull * sim->swarm.healed_ms);
    if (!sim_is_well(sim) || clients_are_done(sim->clients) || adversaries_rule(sim))
        return;
    struct buf who = {0};
    clients_explain(sim->clients, &who);
    check_fail(&sim->check, CHECKER_PROGRESS, 0, "%u ms after all was healed:%s", sim->swarm.healed_ms, who.data);
    buf_done(&who);
}

bool run_swarm(const struct swarm *swarm, const struct run_options *options, struct report *ret_report, struct buf *out)
{
    struct found found;
    disk_install(swarm->seed);
    struct sim *sim = sim_open(swarm);
    struct report_watch watch;
    sim->trace = options->trace;
    found_begin(&found, sim);
    report_watch(&watch, sim, ret_report);
    sim->checks = checks_open(sim);
    trouble_prepare(sim);
    sim->roles = roles_open(sim);
    if (sim_is_well(sim))
        sim->adversaries = adversaries_open(sim);
    if (sim_is_well(sim))
        phase_one(sim);
    if (sim_is_well(sim))
        phase_two(sim);
    if (sim_is_well(sim))
        observe_phase(sim, SIM_OVER);
    if (sim->clients) {
        ret_report->told = clients_answered(sim->clients);
        ret_report->denied = clients_refused(sim->clients);
        clients_close(sim->clients);
    }
    adversaries_close(sim->adversaries, &ret_report->scores);
    report_end(ret_report, sim);
    report_print_seed(ret_report, sim, out);
    bool well = sim_is_well(sim);
    if (options->check)
        *options->check = sim->check;
    if (!well && options->save && sim->check.checker < CHECKER_CORE_COUNT)
        found_save(&found, swarm->seed, options->save, out);
    roles_close(sim->roles);
    trouble_close(sim->trouble);
    checks_close(sim->checks);
    sim_close(sim);
    found_done(&found);
    disk_uninstall();
    return well;
}
