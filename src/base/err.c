#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"

static _Thread_local char detail[512];

const char *cx_err_name(enum cx_err err)
{
    static const char *const names[CX_ERR_COUNT] = {
#define X(name, text) [CX_##name] = #name,
        CX_ERRS(X)
#undef X
    };
    cx_assert(err < CX_ERR_COUNT);
    return names[err];
}

enum cx_err cx_fail(enum cx_err err, const char *format, ...)
{
    cx_assert(err != CX_OK);
    char text[sizeof detail];  // the arguments may contain the old detail
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(detail, sizeof detail, "%s", text);
    return err;
}

const char *cx_detail(void) { return detail; }
