/* SPDX-License-Identifier: Apache-2.0 */
/* What was found before a migration, all of it: errors forbid it, warnings say what it will bring. Plain
 * data, large: not for the stack of a deep call. */
#ifndef MODEL_FINDING_H
#define MODEL_FINDING_H

#include <json-glib/json-glib.h>

#include "base/err.h"

#define FINDINGS_MAX 48

enum finding_severity { FINDING_ERROR, FINDING_WARNING };

struct finding {
    enum finding_severity severity;
    struct err err; /* of a warning as well: id, side, message, cause, cure */
};
struct findings {
    unsigned n;
    struct finding list[FINDINGS_MAX];
};

/* One more, empty, to be filled. If there is no room, the last one: a host that has so much wrong is not the
 * worse for it. */
struct err *findings_add(struct findings *findings, enum finding_severity severity);
/* Adds what a check that returns -1 or 0 has set. */
void findings_note(struct findings *findings, int result, const struct err *err);
/* Sets phase and side of all where they are empty: those of the check's kind (check_table.h), else these. */
void findings_place(struct findings *findings, const char *phase, const char *side);
/* Adds all of `more`, each in the place of those of the same id and side: what a host says is newer than what
 * was known of it. Unless those tell more, in arguments, for who found them has seen both hosts: then they
 * stay. */
void findings_merge(struct findings *findings, const struct findings *more);
/* -1 and the first error, 0 if there is none. */
int findings_first(const struct findings *findings, struct err *err);

/* [{"severity":"error|warning", and the members of an error}]; transfer full. */
JsonArray *findings_to_json(const struct findings *findings);
/* ERR_CORRUPT "agent-answer" if it is none. */
int findings_from_json(JsonNode *node, struct findings *ret_findings, struct err *err);

#endif
