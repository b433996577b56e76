#include "net/http_client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "net/loop_inside.h"

struct http_client {
    struct net_loop *loop;
    CURLM *multi;
    struct net_timer timer;  // libcurl's
    struct net_link calls;
    struct net_link watches;
    uint32_t depth;  // inside libcurl: handles may not be taken out
    bool closed;
};

/* A socket of libcurl's. */
struct watch {
    struct net_link link;
    struct http_client *client;
    uv_poll_t poll;
    curl_socket_t socket;
};

struct http_call {
    struct net_link link;
    struct http_client *client;
    CURL *easy;
    struct http_call_options options;  // its strings are not kept
    struct curl_slist *fields;
    struct net_timer stall;
    struct net_timer resume;
    struct buf body;
    uint64_t received;
    enum cx_err verdict;  // ours, where we end the call; CX_OK: libcurl's
    char error[CURL_ERROR_SIZE];
    bool headed;  // on_head was called
    bool paused;
    bool added;  // libcurl knows it
    bool over;   // cancelled or ended: to be reaped
};

/* ---- calls end ---- */

static void free_call(struct http_call *call)
{
    net_timer_stop(&call->stall);
    net_timer_stop(&call->resume);
    net_link_remove(&call->link);
    if (call->added)
        curl_multi_remove_handle(call->client->multi, call->easy);
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->fields);
    buf_done(&call->body);
    free(call);
}

static void free_client(struct http_client *client)
{
    net_timer_stop(&client->timer);
    curl_multi_cleanup(client->multi);
    cx_assert(net_link_is_alone(&client->watches));
    free(client);
}

static void add(struct http_call *call)
{
    call->added = true;
    CURLMcode code = curl_multi_add_handle(call->client->multi, call->easy);
    cx_assert(code == CURLM_OK);
}

/* Libcurl's turn is over: frees the calls that ended in it, begins those that were made in it. */
static void tidy(struct http_client *client)
{
    cx_assert(client->depth == 0);
    struct net_link *next;
    for (struct net_link *link = client->calls.next; link != &client->calls; link = next) {
        struct http_call *call = (struct http_call *)link;
        next = link->next;
        if (call->over)
            free_call(call);
        else if (!call->added)
            add(call);
    }
    if (client->closed)
        free_client(client);
}

static void enter(struct http_client *client) { client->depth++; }

static void leave(struct http_client *client)
{
    cx_assert(client->depth > 0);
    if (--client->depth == 0)
        tidy(client);
}

static void silence(struct http_call *call)
{
    call->over = true;
    net_timer_stop(&call->stall);
    net_timer_stop(&call->resume);
}

void http_call_cancel(struct http_call *call)
{
    if (!call || call->over)
        return;
    silence(call);
    if (call->client->depth == 0)
        free_call(call);
}

static unsigned status_of(const struct http_call *call)
{
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    return (unsigned)status;
}

static enum cx_err translate(const struct http_call *call, CURLcode code)
{
    const char *text = call->error[0] ? call->error : curl_easy_strerror(code);
    switch ((int)code) {
    case CURLE_OK: return CX_OK;
    case CURLE_OPERATION_TIMEDOUT: return cx_fail(CX_TIMEOUT, "%s", text);
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR: return cx_fail(CX_CLOSED, "%s", text);
    case CURLE_COULDNT_RESOLVE_HOST: return cx_fail(CX_NOT_FOUND, "%s", text);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE: return cx_fail(CX_DENIED, "%s", text);
    }
    return cx_fail(CX_IO, "%s", text);
}

static const char *verdict_text(enum cx_err verdict)
{
    return verdict == CX_TIMEOUT ? "the server went silent" : "the response is over the limit";
}

static void tell_head(struct http_call *call);

static void finish(struct http_call *call, CURLcode code)
{
    if (call->over)
        return;
    if (code == CURLE_OK)
        tell_head(call);
    if (call->over)
        return;
    silence(call);
    enum cx_err err = call->verdict ? cx_fail(call->verdict, "%s", verdict_text(call->verdict)) : translate(call, code);
    call->options.on_done(call->options.ctx, err, status_of(call));
}

/* ---- libcurl and the loop ---- */

static void take_messages(struct http_client *client)
{
    int left = 0;
    for (CURLMsg *m = curl_multi_info_read(client->multi, &left); m; m = curl_multi_info_read(client->multi, &left)) {
        struct http_call *call = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &call);
        finish(call, m->data.result);
    }
}

/* Everything that libcurl does, it does in here; the owner's callbacks come out of it. */
static void act(struct http_client *client, curl_socket_t socket, int what)
{
    int running = 0;
    enter(client);
    curl_multi_socket_action(client->multi, socket, what, &running);
    take_messages(client);
    leave(client);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    int what = 0;
    if (events & UV_READABLE)
        what |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        what |= CURL_CSELECT_OUT;
    if (status < 0)
        what |= CURL_CSELECT_ERR;
    act(w->client, w->socket, what);
}

static void on_timer(void *ctx) { act(ctx, CURL_SOCKET_TIMEOUT, 0); }

static int set_timer(CURLM *multi, long ms, void *ctx)
{
    struct http_client *client = ctx;
    (void)multi;
    if (ms < 0)
        net_timer_stop(&client->timer);
    else
        net_timer_start(client->loop, &client->timer, (uint64_t)ms, on_timer, client);
    return 0;
}

static void free_watch(uv_handle_t *handle) { free(handle->data); }

static void close_watch(struct watch *w)
{
    net_link_remove(&w->link);
    uv_close((uv_handle_t *)&w->poll, free_watch);
}

static struct watch *open_watch(struct http_client *client, curl_socket_t socket)
{
    struct watch *w = calloc(1, sizeof *w);
    cx_assert(w);
    w->client = client;
    w->socket = socket;
    w->poll.data = w;
    if (uv_poll_init(&client->loop->uv, &w->poll, socket)) {
        free(w);
        return NULL;
    }
    net_link_add(&client->watches, &w->link);
    curl_multi_assign(client->multi, socket, w);
    return w;
}

static int set_socket(CURL *easy, curl_socket_t socket, int what, void *ctx, void *socket_ctx)
{
    struct http_client *client = ctx;
    struct watch *w = socket_ctx;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w)
            close_watch(w);
        curl_multi_assign(client->multi, socket, NULL);
        return 0;
    }
    if (!w)
        w = open_watch(client, socket);
    if (!w)
        return -1;
    int events = 0;
    if (what & CURL_POLL_IN)
        events |= UV_READABLE;
    if (what & CURL_POLL_OUT)
        events |= UV_WRITABLE;
    uv_poll_start(&w->poll, events, on_ready);
    return 0;
}

/* ---- the response ---- */

static void tell_head(struct http_call *call)
{
    const char *type = NULL;
    if (call->headed)
        return;
    call->headed = true;
    curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &type);
    if (call->options.on_head)
        call->options.on_head(call->options.ctx, status_of(call), type ? type : "");
}

static void on_stall(void *ctx);

static void restart_stall(struct http_call *call)
{
    net_timer_start(call->client->loop, &call->stall, call->options.stall_ms, on_stall, call);
}

static size_t on_write(char *data, size_t one, size_t size, void *ctx)
{
    struct http_call *call = ctx;
    (void)one;
    if (!call->over && !call->paused)
        tell_head(call);
    if (call->over)
        return CURL_WRITEFUNC_ERROR;
    if (call->paused)
        return CURL_WRITEFUNC_PAUSE;
    call->received += size;
    if (call->received > call->options.response_size_max) {
        call->verdict = CX_TOO_LARGE;
        return CURL_WRITEFUNC_ERROR;
    }
    restart_stall(call);
    if (call->options.on_body)
        call->options.on_body(call->options.ctx, data, size);
    else
        buf_add(&call->body, data, size);
    return call->over ? CURL_WRITEFUNC_ERROR : size;
}

static void on_stall(void *ctx)
{
    struct http_call *call = ctx;
    struct http_client *client = call->client;
    call->verdict = CX_TIMEOUT;
    enter(client);
    finish(call, CURLE_OPERATION_TIMEDOUT);
    leave(client);
}

void http_call_pause(struct http_call *call)
{
    call->paused = true;
    net_timer_stop(&call->stall);
}

/* What libcurl held back comes out of this call, so it is never made inside another. */
static void on_resume(void *ctx)
{
    struct http_call *call = ctx;
    struct http_client *client = call->client;
    int running = 0;
    enter(client);
    curl_easy_pause(call->easy, CURLPAUSE_CONT);
    curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    take_messages(client);
    leave(client);
}

void http_call_resume(struct http_call *call)
{
    if (call->over || !call->paused)
        return;
    call->paused = false;
    restart_stall(call);
    net_timer_soon(call->client->loop, &call->resume, on_resume, call);
}

const char *http_call_body(const struct http_call *call, size_t *ret_size)
{
    if (ret_size)
        *ret_size = call->body.size;
    return call->body.data ? call->body.data : "";
}

const char *http_call_header(const struct http_call *call, const char *name)
{
    struct curl_header *header = NULL;
    if (curl_easy_header(call->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return NULL;
    return header->value;
}

/* ---- requests ---- */

static bool is_method(const char *method)
{
    return *method && strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(method);
}

/* The scheme is checked here, so that a file:// never reaches libcurl. */
static enum cx_err check_url(const char *url)
{
    char *scheme = NULL;
    CURLU *parsed = curl_url();
    cx_assert(parsed);
    CURLUcode code = curl_url_set(parsed, CURLUPART_URL, url, 0);
    bool good = code == CURLUE_OK && curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    curl_free(scheme);
    curl_url_cleanup(parsed);
    if (!good)
        return cx_fail(CX_INVALID, "\"%s\" is no URL of http:// or https://", url);
    return CX_OK;
}

static enum cx_err add_fields(struct http_call *call, const struct http_call_options *o)
{
    for (uint32_t i = 0; i < o->field_count; i++) {
        if (!strchr(o->fields[i], ':') || strpbrk(o->fields[i], "\r\n"))
            return cx_fail(CX_INVALID, "\"%.64s\" is no header field: write it like Name: value", o->fields[i]);
        call->fields = curl_slist_append(call->fields, o->fields[i]);
        cx_assert(call->fields);
    }
    /* libcurl would wait a second for servers that do not know 100-continue. */
    call->fields = curl_slist_append(call->fields, "Expect:");
    cx_assert(call->fields);
    return CX_OK;
}

static void set_method(CURL *easy, const struct http_call_options *o)
{
    const char *method = o->method ? o->method : o->body ? "POST" : "GET";
    if (o->body) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)o->body_size);
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, o->body);
    }
    if (strcmp(method, "HEAD") == 0)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}

static void set_up(struct http_call *call, const struct http_call_options *o)
{
    CURL *easy = call->easy;
    set_method(easy, o);
    curl_easy_setopt(easy, CURLOPT_URL, o->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->fields);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, o->proxy ? o->proxy : "");
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(o->connect_ms ? o->connect_ms : HTTP_CLIENT_CONNECT_MS));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)o->total_ms);
    if (o->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, o->ca_file);
}

enum cx_err http_client_send(struct http_client *client, const struct http_call_options *options,
                             struct http_call **ret_call)
{
    cx_assert(options->on_done);
    cx_assert(!client->closed);
    if (options->method && !is_method(options->method))
        return cx_fail(CX_INVALID, "\"%s\" is no HTTP method", options->method);
    enum cx_err err = check_url(options->url);
    if (err)
        return err;
    struct http_call *call = calloc(1, sizeof *call);
    cx_assert(call);
    call->client = client;
    call->options = *options;
    if (!call->options.stall_ms)
        call->options.stall_ms = HTTP_CLIENT_STALL_MS;
    if (!call->options.response_size_max)
        call->options.response_size_max = HTTP_CLIENT_RESPONSE_SIZE_MAX;
    err = add_fields(call, options);
    if (err) {
        curl_slist_free_all(call->fields);
        free(call);
        return err;
    }
    call->easy = curl_easy_init();
    cx_assert(call->easy);
    set_up(call, options);
    net_link_add(&client->calls, &call->link);
    restart_stall(call);
    if (client->depth == 0)
        add(call);
    *ret_call = call;
    return CX_OK;
}

/* ---- the client ---- */

static void init_curl(void)
{
    CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
    cx_assert(code == CURLE_OK);
}

enum cx_err http_client_open(struct net_loop *loop, struct http_client **ret_client)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_curl);
    struct http_client *client = calloc(1, sizeof *client);
    cx_assert(client);
    client->loop = loop;
    net_link_init(&client->calls);
    net_link_init(&client->watches);
    client->multi = curl_multi_init();
    if (!client->multi) {
        free(client);
        return cx_fail(CX_MEMORY, "no memory for an HTTP client");
    }
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    *ret_client = client;
    return CX_OK;
}

void http_client_close(struct http_client *client)
{
    if (!client)
        return;
    cx_assert(!client->closed);
    client->closed = true;
    for (struct net_link *link = client->calls.next; link != &client->calls; link = link->next)
        silence((struct http_call *)link);
    if (client->depth == 0)
        tidy(client);
}
