/* How a client's connection opens: name, address after address, TLS. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "net/conn_inside.h"

#define CONNECT_MS 10000

struct connecting {
    char *host;
    char *ca_file;  // or NULL
    uint16_t port;
    bool tls;
    uv_getaddrinfo_t look_up;
    bool looking_up;
    struct addrinfo *addresses, *next;
    int error;  // of the last address tried
};

static void free_parts(struct connecting *k)
{
    uv_freeaddrinfo(k->addresses);
    free(k->host);
    free(k->ca_file);
    free(k);
}

/* A look-up under way keeps its struct: it comes back, and frees it then. */
void net_connecting_free(struct net_conn *c)
{
    struct connecting *k = c->connecting;
    if (!k)
        return;
    c->connecting = NULL;
    if (k->looking_up)
        uv_cancel((uv_req_t *)&k->look_up);
    else
        free_parts(k);
}

/* ---- TLS ---- */

static const char *tls_error(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    return text ? text : "the peer broke off";
}

static enum cx_err tls_context(const char *ca_file, SSL_CTX **ret_context)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context)
        return cx_fail(CX_MEMORY, "TLS: %s", tls_error());
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    int loaded =
        ca_file ? SSL_CTX_load_verify_locations(context, ca_file, NULL) : SSL_CTX_set_default_verify_paths(context);
    if (loaded != 1) {
        SSL_CTX_free(context);
        return cx_fail(CX_INVALID, "TLS: cannot read the authorities in %s: %s",
                       ca_file ? ca_file : "the system's store", tls_error());
    }
    *ret_context = context;
    return CX_OK;
}

/* The name that the certificate must bear: RFC 6125; addresses are looked for as such. */
static bool expect_host(SSL *ssl, const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static enum cx_err tls_begin(struct net_conn *c)
{
    struct connecting *k = c->connecting;
    SSL_CTX *context = k->ca_file ? NULL : c->loop->tls;
    if (!context) {
        enum cx_err err = tls_context(k->ca_file, &context);
        if (err)
            return err;
        if (!k->ca_file)
            c->loop->tls = context;
    }
    c->ssl = SSL_new(context);
    if (k->ca_file)
        SSL_CTX_free(context);  // the SSL holds it now
    if (!c->ssl || !expect_host(c->ssl, k->host) || SSL_set_fd(c->ssl, c->fd) != 1)
        return cx_fail(CX_IO, "TLS: %s", tls_error());
    SSL_set_connect_state(c->ssl);
    return CX_OK;
}

/* errno tells after -2 only where TLS did not. */
ssize_t net_tls_read(struct net_conn *c, char *data, size_t size)
{
    size_t got = 0;
    ERR_clear_error();
    if (SSL_read_ex(c->ssl, data, size, &got) == 1)
        return (ssize_t)got;
    switch (SSL_get_error(c->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return 0;
    case SSL_ERROR_ZERO_RETURN: return -1;
    }
    return -2;
}

ssize_t net_tls_write(struct net_conn *c, const char *data, size_t size)
{
    size_t sent = 0;
    ERR_clear_error();
    if (SSL_write_ex(c->ssl, data, size, &sent) == 1)
        return (ssize_t)sent;
    switch (SSL_get_error(c->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return 0;
    }
    return -2;
}

/* ---- steps ---- */

static void now_open(struct net_conn *c)
{
    net_connecting_free(c);
    c->state = CONN_OPEN;
    net_timer_stop(&c->timer);
    net_conn_added(c);
    net_conn_rearm(c);
    if (c->events->on_open)
        c->events->on_open(c->ctx);
    /* The handshake may have read what the peer sent right behind it. */
    if (c->ssl && c->state == CONN_OPEN && !c->paused) {
        c->paused = true;
        net_conn_resume(c);
    }
}

static void shake_hands(struct net_conn *c)
{
    ERR_clear_error();
    int done = SSL_do_handshake(c->ssl);
    if (done == 1) {
        now_open(c);
        return;
    }
    int want = SSL_get_error(c->ssl, done);
    if (want == SSL_ERROR_WANT_READ || want == SSL_ERROR_WANT_WRITE) {
        c->tls_wants_write = want == SSL_ERROR_WANT_WRITE;
        net_conn_rearm(c);
        return;
    }
    long verified = SSL_get_verify_result(c->ssl);
    char what[300];
    snprintf(what, sizeof what, "TLS with %s failed", c->connecting->host);
    net_conn_fail(c, CX_DENIED, what, verified != X509_V_OK ? X509_verify_cert_error_string(verified) : tls_error());
}

static void connected(struct net_conn *c)
{
    if (!c->connecting->tls) {
        now_open(c);
        return;
    }
    enum cx_err err = tls_begin(c);
    if (err) {
        char what[512];
        snprintf(what, sizeof what, "%s", cx_detail());
        net_conn_fail(c, err, what, NULL);
        return;
    }
    c->state = CONN_TLS;
    shake_hands(c);
}

static int open_socket(int family)
{
    int fd = socket(family, SOCK_STREAM, 0);
    if (fd < 0)
        return -1;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Whether connecting to this address has begun. */
static bool try_address(struct net_conn *c, const struct addrinfo *address)
{
    int fd = open_socket(address->ai_family);
    if (fd < 0)
        return false;
    if (connect(fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS) {
        close(fd);
        return false;
    }
    if (net_conn_poll_fd(c, fd) != CX_OK) {
        close(fd);
        return false;
    }
    return true;
}

static void try_next(struct net_conn *c)
{
    struct connecting *k = c->connecting;
    c->state = CONN_CONNECTING;
    while (k->next) {
        struct addrinfo *address = k->next;
        k->next = address->ai_next;
        if (try_address(c, address)) {
            net_conn_rearm(c);
            return;
        }
        k->error = errno;
    }
    char what[300];
    snprintf(what, sizeof what, "cannot connect to %s port %u", k->host, k->port);
    net_conn_fail(c, CX_IO, what, strerror(k->error));
}

void net_connecting_go_on(struct net_conn *c)
{
    if (c->state == CONN_TLS) {
        shake_hands(c);
        return;
    }
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (!error) {
        connected(c);
        return;
    }
    c->connecting->error = error;
    net_conn_unpoll(c);
    try_next(c);
}

static void on_looked_up(uv_getaddrinfo_t *look_up, int status, struct addrinfo *addresses)
{
    struct connecting *k = (struct connecting *)((char *)look_up - offsetof(struct connecting, look_up));
    struct net_conn *c = look_up->data;
    k->looking_up = false;
    k->addresses = k->next = addresses;
    if (c->state == CONN_GONE) {
        free_parts(k);
    } else if (status < 0) {
        char what[300];
        snprintf(what, sizeof what, "cannot find %s", k->host);
        net_conn_fail(c, CX_NOT_FOUND, what, uv_strerror(status));
    } else {
        try_next(c);
    }
    net_conn_unpin(c);
}

static void on_connect_timeout(void *ctx)
{
    struct net_conn *c = ctx;
    char what[300];
    snprintf(what, sizeof what, "connecting to %s took too long", c->connecting->host);
    net_conn_fail(c, CX_TIMEOUT, what, NULL);
}

static enum cx_err look_up(struct net_conn *c)
{
    struct connecting *k = c->connecting;
    char service[8];
    snprintf(service, sizeof service, "%u", k->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    k->look_up.data = c;
    int err = uv_getaddrinfo(&c->loop->uv, &k->look_up, on_looked_up, k->host, service, &hints);
    if (err)
        return cx_fail(CX_IO, "cannot look up %s: %s", k->host, uv_strerror(err));
    k->looking_up = true;
    net_conn_pin(c);
    return CX_OK;
}

enum cx_err net_conn_connect(struct net_loop *loop, const struct net_target *target,
                             const struct net_conn_events *events, void *ctx, struct net_conn **ret_conn)
{
    struct net_conn *c = net_conn_new(loop, events, ctx);
    struct connecting *k = calloc(1, sizeof *k);
    char *host = strdup(target->host);
    char *ca_file = target->ca_file ? strdup(target->ca_file) : NULL;
    cx_assert(c && k && host && (ca_file || !target->ca_file));
    *k = (struct connecting){.host = host, .ca_file = ca_file, .port = target->port, .tls = target->tls};
    c->connecting = k;
    c->state = CONN_NAMING;
    enum cx_err err = look_up(c);
    if (err) {
        net_conn_close(c);
        return err;
    }
    net_timer_start(loop, &c->timer, target->timeout_ms ? target->timeout_ms : CONNECT_MS, on_connect_timeout, c);
    *ret_conn = c;
    return CX_OK;
}
