#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

static _Atomic int level_max = LOG_INFO;
static _Atomic bool as_json;

void log_set_level(enum log_level level) { level_max = (int)level; }

void log_set_json(bool json) { as_json = json; }

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_ERROR: return "error";
    case LOG_WARN: return "warn";
    case LOG_INFO: return "info";
    case LOG_DEBUG: return "debug";
    }
    return "?";
}

/* Texts quote what peers sent: it must not begin a line of its own or steer a terminal. */
static void put_plain(char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            text[i] = '?';
}

void log_line(enum log_level level, const char *place, const char *format, ...)
{
    if ((int)level > level_max)
        return;
    char text[2048];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t text_size = size < 0 ? 0 : (size_t)size < sizeof text ? (size_t)size : sizeof text - 1;

    uint64_t now_ms = clock_wall_ms();
    time_t now_s = (time_t)(now_ms / 1000);
    unsigned ms = (unsigned)(now_ms % 1000);
    struct tm utc;
    gmtime_r(&now_s, &utc);
    char when[32];
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc);

    struct buf line = {0};
    if (as_json) {
        buf_printf(&line, "{\"time\":\"%s.%03uZ\",\"level\":\"%s\",\"place\":\"%s\",\"text\":", when, ms,
                   level_name(level), place);
        buf_json_string(&line, text, text_size);
        buf_text(&line, "}\n");
    } else {
        put_plain(text, text_size);
        buf_printf(&line, "%s.%03uZ %-5s %s: %s\n", when, ms, level_name(level), place, text);
    }
    ssize_t written = write(STDERR_FILENO, line.data, line.size);  // one call: lines stay whole
    (void)written;                                                 // nowhere left to say so
    buf_done(&line);
}
