/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one error value of every process. It is plain data of fixed size: it crosses threads, local sockets
 * and, as JSON, hosts.
 *
 * Lower code sets it, upper code prefixes it, only the owner of the job or request logs it. Functions that
 * fail return -1 and fill *err; err may be NULL where the caller does not care. Thread: any, one at a time.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

/* What the receiver of the error can do about it. The order is part of the local socket protocol: append
 * only. */
enum err_code {
    ERR_NONE = 0,
    ERR_RETRY,        /* the same call may succeed later */
    ERR_PEER_LOST,    /* the other side went away */
    ERR_REFUSED,      /* understood, and not allowed in this state */
    ERR_BAD_REQUEST,  /* the input is wrong; message names the field */
    ERR_NOT_FOUND,    /* no such object */
    ERR_UNAUTHORIZED, /* no or wrong credentials */
    ERR_CANCELLED,    /* the operator asked for it */
    ERR_TIMEOUT,      /* a wait reached its deadline; message says who waited for what */
    ERR_CORRUPT,      /* data did not match its checksum or format */
    ERR_IN_DOUBT,     /* ownership is not known yet */
    ERR_INTERNAL,     /* our own defect or the machine's */
    ERR_CODE_COUNT
};

#define ERR_ID_MAX 48
#define ERR_TEXT_MAX 320
#define ERR_ARGS_MAX 8

/* One thing that the message speaks of, by itself: for programs and translations. */
struct err_arg {
    char name[24];   /* lower case with underscores: "short_mib", "bridge" */
    char value[128]; /* text, also for numbers; the unit is in the name */
};

struct err {
    enum err_code code;
    int sys_errno;              /* 0 if no system call is behind it */
    char id[ERR_ID_MAX];        /* stable, lower case with dashes: "vm-not-found" */
    char phase[24];             /* one of the nine phases, or "" outside a move */
    char side[16];              /* "source", "destination", "manager", or "" */
    char message[ERR_TEXT_MAX]; /* one sentence: what failed */
    char cause[ERR_TEXT_MAX];   /* why, or "" */
    char fix[ERR_TEXT_MAX];     /* what the operator can do, or "" */
    unsigned n_args;
    struct err_arg args[ERR_ARGS_MAX];
};

/* Each returns -1 so that `return err_set(...)` reads well. An already set error is replaced. */
int err_set(struct err *err, enum err_code code, const char *id, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* As err_set with code ERR_INTERNAL, the system's text for `errnum` as the cause. */
int err_sys(struct err *err, int errnum, const char *id, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Add to an error that is set. */
int err_cause(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
int err_fix(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* An argument; one of the same name is replaced, one too many is dropped. */
int err_arg(struct err *err, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The value of an argument, or NULL. */
const char *err_arg_find(const struct err *err, const char *name);
/* Puts context in front of the message: "context: message". */
int err_prefix(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Sets phase and side where they are still empty. */
void err_place(struct err *err, const char *phase, const char *side);
void err_clear(struct err *err);

static inline bool err_is_set(const struct err *err)
{
    return err && err->code != ERR_NONE;
}

/* "RETRY", "PEER_LOST", ... ; the string used by database, JSON and logs alike. */
const char *err_code_name(enum err_code code);
/* ERR_INTERNAL for an unknown name. */
enum err_code err_code_from_name(const char *name);
/* The HTTP status that goes with a code. */
int err_http_status(enum err_code code);

#endif
