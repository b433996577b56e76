#include <pthread.h>

#include "base/worker.h"
#include "lib/test.h"

struct counted {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct worker *worker;
    uint32_t wanted, done, runs;
    bool running, twice;
};

static void run(void *ctx)
{
    struct counted *c = ctx;
    pthread_mutex_lock(&c->lock);
    c->twice |= c->running;
    c->running = true;
    c->runs++;
    c->done = c->wanted;
    c->running = false;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static void want(struct counted *c)
{
    pthread_mutex_lock(&c->lock);
    c->wanted++;
    pthread_mutex_unlock(&c->lock);
    worker_ring(c->worker);
}

static void open_counted(struct counted *c)
{
    *c = (struct counted){0};
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    CHECK_EQ(worker_open(run, c, &c->worker), CX_OK);
}

static void close_counted(struct counted *c)
{
    worker_close(c->worker);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
}

TEST(worker, answers_each_ring_by_a_run_that_begins_after_it)
{
    struct counted c;
    open_counted(&c);
    for (uint32_t i = 1; i <= 1000; i++) {
        want(&c);
        pthread_mutex_lock(&c.lock);
        while (c.done < i)
            pthread_cond_wait(&c.changed, &c.lock);
        pthread_mutex_unlock(&c.lock);
    }
    close_counted(&c);
    CHECK(!c.twice);
    CHECK(c.runs <= 1000);
}

TEST(worker, answers_what_rang_before_it_was_closed)
{
    for (uint32_t i = 0; i < 100; i++) {
        struct counted c;
        open_counted(&c);
        want(&c);
        close_counted(&c);
        CHECK_EQ(c.done, 1);
    }
}

TEST(worker, that_never_rang_never_ran)
{
    struct counted c;
    open_counted(&c);
    close_counted(&c);
    CHECK_EQ(c.runs, 0);
    worker_close(NULL);
}
