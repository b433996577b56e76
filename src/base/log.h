/* log.h - structured lines on standard error: time, level, place, words, key=value.
 *
 *      log_info("router", "node attached node=%s link=%u", name, link);
 *
 * One line a call, written whole. Only roles and the command line log. */
#ifndef CORTEN_BASE_LOG_H
#define CORTEN_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Default LOG_INFO. */
void log_set_level(enum log_level level);
/* JSON objects in place of text lines. */
void log_set_json(bool json);
void log_line(enum log_level level, const char *place, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define log_error(place, ...) log_line(LOG_ERROR, place, __VA_ARGS__)
#define log_warn(place, ...)  log_line(LOG_WARN, place, __VA_ARGS__)
#define log_info(place, ...)  log_line(LOG_INFO, place, __VA_ARGS__)
#define log_debug(place, ...) log_line(LOG_DEBUG, place, __VA_ARGS__)

#endif
