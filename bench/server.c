#include "server.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"

#define TRY_NS    (10 * 1000000)
#define TRIES_MAX 3000

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

uint16_t server_free_port(void)
{
    struct sockaddr_in at = loopback(0);
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    BENCH_MUST(fd >= 0);
    BENCH_MUST(bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
    BENCH_MUST(getsockname(fd, (struct sockaddr *)&at, &size) == 0);
    close(fd);
    return ntohs(at.sin_port);
}

static bool takes_connections(uint16_t port)
{
    struct sockaddr_in at = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool good = fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0;
    close(fd);
    return good;
}

bool server_start(struct server *server, const char *const *argv, const char *log, uint16_t port)
{
    server->port = port;
    server->pid = fork();
    BENCH_MUST(server->pid >= 0);
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        int fd = open(log, O_CREAT | O_TRUNC | O_WRONLY, 0600);
        dup2(fd, 1);
        dup2(fd, 2);
        execvp(argv[0], (char *const *)argv);
        dprintf(2, "%s could not be run\n", argv[0]);
        _exit(127);
    }
    for (int i = 0; i < TRIES_MAX; i++) {
        if (takes_connections(port))
            return true;
        if (waitpid(server->pid, NULL, WNOHANG) == server->pid)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = TRY_NS}, NULL);
    }
    server_stop(server);
    return false;
}

/* Ticks of a process, and its parent. */
static double ticks_of(const char *pid, pid_t *ret_parent)
{
    char path[300], line[1024];
    long parent;
    unsigned long user = 0, kernel = 0;
    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    const char *at = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
    fclose(file);
    if (!at || sscanf(at + 2, "%*c %ld %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &parent, &user, &kernel) != 3)
        return 0;
    *ret_parent = (pid_t)parent;
    return (double)(user + kernel);
}

double server_cpu(const struct server *server)
{
    double ticks = 0;
    DIR *proc = opendir("/proc");
    BENCH_MUST(proc);
    for (struct dirent *entry; (entry = readdir(proc));) {
        pid_t parent = 0;
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
            continue;
        double of = ticks_of(entry->d_name, &parent);
        if (parent == server->pid || atol(entry->d_name) == server->pid)
            ticks += of;
    }
    closedir(proc);
    return ticks / (double)sysconf(_SC_CLK_TCK);
}

void server_stop(struct server *server)
{
    if (server->pid <= 0)
        return;
    kill(server->pid, SIGTERM);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}
