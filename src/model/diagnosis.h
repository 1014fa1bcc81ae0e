/* SPDX-License-Identifier: Apache-2.0 */
/* What a doctor says of a machine, or of the way between two: one line for each thing that was looked at,
 * also of what is well. Plain data. */
#ifndef MODEL_DIAGNOSIS_H
#define MODEL_DIAGNOSIS_H

#include <json-glib/json-glib.h>

#include "base/err.h"

enum diagnosis_verdict {
    DIAGNOSIS_OK,
    DIAGNOSIS_WARNING,  /* it works, and should not stay so */
    DIAGNOSIS_PROBLEM,  /* something does not work */
    DIAGNOSIS_NOT_HERE, /* there is nothing to judge, or it could not be found out: the cause says why */
};

#define DIAGNOSIS_WHAT_MAX 160

struct diagnosis {
    enum diagnosis_verdict verdict;
    char what[DIAGNOSIS_WHAT_MAX]; /* that was looked at, for people: "disk space" */
    struct err err; /* id: of the check; message, cause, cure, arguments. No code: not each is an error */
};

struct diagnoses; /* a list that grows */

struct diagnoses *diagnoses_new(void);
void diagnoses_free(struct diagnoses *list); /* NULL ok */
/* One more line. The caller adds cause, cure and arguments, before the next line is added. */
struct err *diagnoses_add(struct diagnoses *list, const struct diagnosis *line);
unsigned diagnoses_count(const struct diagnoses *list);
const struct diagnosis *diagnoses_get(const struct diagnoses *list, unsigned index);
unsigned diagnoses_count_of(const struct diagnoses *list, enum diagnosis_verdict verdict);

const char *
diagnosis_verdict_name(enum diagnosis_verdict verdict); /* "ok", "warning", "problem", "not-here" */
/* [{"id","verdict","what","message","cause","fix","arguments"}]; transfer full. */
JsonArray *diagnoses_to_json(const struct diagnoses *list);

#endif
