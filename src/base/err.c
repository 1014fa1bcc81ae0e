/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int http_status;
} codes[ERR_CODE_COUNT] = {
    [ERR_NONE] = {"NONE", 200},
    [ERR_RETRY] = {"RETRY", 503},
    [ERR_PEER_LOST] = {"PEER_LOST", 502},
    [ERR_REFUSED] = {"REFUSED", 409},
    [ERR_BAD_REQUEST] = {"BAD_REQUEST", 400},
    [ERR_NOT_FOUND] = {"NOT_FOUND", 404},
    [ERR_UNAUTHORIZED] = {"UNAUTHORIZED", 401},
    [ERR_CANCELLED] = {"CANCELLED", 409},
    [ERR_TIMEOUT] = {"TIMEOUT", 504},
    [ERR_CORRUPT] = {"CORRUPT", 500},
    [ERR_IN_DOUBT] = {"IN_DOUBT", 500},
    [ERR_INTERNAL] = {"INTERNAL", 500},
};

static void fill(char *text, const char *format, va_list args)
{
    (void)vsnprintf(text, ERR_TEXT_MAX, format, args);
}

int err_set(struct err *err, enum err_code code, const char *id, const char *format, ...)
{
    if (!err)
        return -1;
    err_clear(err);
    err->code = code;
    (void)snprintf(err->id, sizeof err->id, "%s", id);
    va_list args;
    va_start(args, format);
    fill(err->message, format, args);
    va_end(args);
    return -1;
}

int err_sys(struct err *err, int errnum, const char *id, const char *format, ...)
{
    if (!err)
        return -1;
    err_clear(err);
    err->code = ERR_INTERNAL;
    err->sys_errno = errnum;
    (void)snprintf(err->id, sizeof err->id, "%s", id);
    va_list args;
    va_start(args, format);
    fill(err->message, format, args);
    va_end(args);
    char buffer[128];
    (void)snprintf(err->cause, sizeof err->cause, "%s", strerror_r(errnum, buffer, sizeof buffer));
    return -1;
}

int err_cause(struct err *err, const char *format, ...)
{
    if (!err)
        return -1;
    va_list args;
    va_start(args, format);
    fill(err->cause, format, args);
    va_end(args);
    return -1;
}

int err_fix(struct err *err, const char *format, ...)
{
    if (!err)
        return -1;
    va_list args;
    va_start(args, format);
    fill(err->fix, format, args);
    va_end(args);
    return -1;
}

static struct err_arg *find_arg(struct err *err, const char *name)
{
    for (unsigned i = 0; i < err->n_args && i < ERR_ARGS_MAX; i++)
        if (!strcmp(err->args[i].name, name))
            return &err->args[i];
    return NULL;
}

int err_arg(struct err *err, const char *name, const char *format, ...)
{
    if (!err)
        return -1;
    struct err_arg *arg = find_arg(err, name);
    if (!arg && err->n_args >= ERR_ARGS_MAX)
        return -1;
    if (!arg)
        arg = &err->args[err->n_args++];
    (void)snprintf(arg->name, sizeof arg->name, "%s", name);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(arg->value, sizeof arg->value, format, args);
    va_end(args);
    return -1;
}

const char *err_arg_find(const struct err *err, const char *name)
{
    const struct err_arg *arg = find_arg((struct err *)err, name);
    return arg ? arg->value : NULL;
}

int err_prefix(struct err *err, const char *format, ...)
{
    if (!err)
        return -1;
    char context[ERR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    fill(context, format, args);
    va_end(args);
    char whole[2 * ERR_TEXT_MAX + 3];
    (void)snprintf(whole, sizeof whole, "%s: %s", context, err->message);
    whole[ERR_TEXT_MAX - 1] = '\0';
    memcpy(err->message, whole, ERR_TEXT_MAX);
    return -1;
}

void err_place(struct err *err, const char *phase, const char *side)
{
    if (!err)
        return;
    if (!err->phase[0])
        (void)snprintf(err->phase, sizeof err->phase, "%s", phase);
    if (!err->side[0])
        (void)snprintf(err->side, sizeof err->side, "%s", side);
}

void err_clear(struct err *err)
{
    if (err)
        memset(err, 0, sizeof *err);
}

const char *err_code_name(enum err_code code)
{
    return (unsigned)code < ERR_CODE_COUNT ? codes[code].name : "INTERNAL";
}

enum err_code err_code_from_name(const char *name)
{
    for (unsigned i = 0; name && i < ERR_CODE_COUNT; i++)
        if (!strcmp(codes[i].name, name))
            return (enum err_code)i;
    return ERR_INTERNAL;
}

int err_http_status(enum err_code code)
{
    return (unsigned)code < ERR_CODE_COUNT ? codes[code].http_status : 500;
}
