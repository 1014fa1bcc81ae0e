/* SPDX-License-Identifier: Apache-2.0 */
#include "model/finding.h"

#include <string.h>

#include "model/check_table.h"
#include "model/move.h"

static const char *const severities[] = {[FINDING_ERROR] = "error", [FINDING_WARNING] = "warning"};

struct err *findings_add(struct findings *findings, enum finding_severity severity)
{
    struct finding *finding = &findings->list[findings->n < FINDINGS_MAX ? findings->n++ : FINDINGS_MAX - 1];
    *finding = (struct finding){.severity = severity};
    return &finding->err;
}

void findings_note(struct findings *findings, int result, const struct err *err)
{
    if (result < 0)
        *findings_add(findings, FINDING_ERROR) = *err;
}

void findings_place(struct findings *findings, const char *phase, const char *side)
{
    for (unsigned i = 0; i < findings->n; i++) {
        struct err *err = &findings->list[i].err;
        const struct check_kind *kind = check_kind_find(err->id);
        if (kind && kind->side)
            err_place(err, move_phase_name(kind->phase), kind->side);
        err_place(err, phase, side);
    }
}

/* How much the best of those of this id and side tells; -1: there is none. */
static int knowledge(const struct finding *list, unsigned n, const struct err *about)
{
    int most = -1;
    for (unsigned i = 0; i < n; i++) {
        const struct err *err = &list[i].err;
        int n_told = 0;
        if (strcmp(err->id, about->id) || strcmp(err->side, about->side))
            continue;
        for (unsigned k = 0; k < err->n_args; k++)
            n_told += err->args[k].value[0] != 0;
        most = MAX(most, n_told);
    }
    return most;
}

void findings_merge(struct findings *findings, const struct findings *more)
{
    unsigned n_old = findings->n, n_kept = 0;
    for (unsigned i = 0; i < n_old; i++) {
        const struct err *err = &findings->list[i].err;
        if (knowledge(findings->list, n_old, err) > knowledge(more->list, more->n, err))
            findings->list[n_kept++] = findings->list[i];
    }
    findings->n = n_kept;
    for (unsigned i = 0; i < more->n; i++)
        if (knowledge(findings->list, n_kept, &more->list[i].err) < 0)
            *findings_add(findings, more->list[i].severity) = more->list[i].err;
}

int findings_first(const struct findings *findings, struct err *err)
{
    for (unsigned i = 0; i < findings->n; i++) {
        if (findings->list[i].severity != FINDING_ERROR)
            continue;
        if (err)
            *err = findings->list[i].err;
        return -1;
    }
    return 0;
}

JsonArray *findings_to_json(const struct findings *findings)
{
    JsonArray *array = json_array_new();
    for (unsigned i = 0; i < findings->n; i++) {
        g_autoptr(JsonObject) document = model_error_to_json(&findings->list[i].err);
        JsonObject *inner = json_object_ref(json_object_get_object_member(document, "error"));
        json_object_set_string_member(inner, "severity", severities[findings->list[i].severity]);
        json_array_add_object_element(array, inner);
    }
    return array;
}

static int not_findings(struct err *err)
{
    return err_set(err, ERR_CORRUPT, "agent-answer", "the findings are not in the form that was agreed");
}

int findings_from_json(JsonNode *node, struct findings *ret_findings, struct err *err)
{
    ret_findings->n = 0;
    if (!node || !JSON_NODE_HOLDS_ARRAY(node))
        return not_findings(err);
    JsonArray *array = json_node_get_array(node);
    for (guint i = 0; i < json_array_get_length(array) && i < FINDINGS_MAX; i++) {
        JsonNode *element = json_array_get_element(array, i);
        if (!JSON_NODE_HOLDS_OBJECT(element))
            return not_findings(err);
        JsonObject *object = json_node_get_object(element);
        bool is_warning = !strcmp(model_text(object, "severity"), severities[FINDING_WARNING]);
        struct err *found = findings_add(ret_findings, is_warning ? FINDING_WARNING : FINDING_ERROR);
        model_error_from_json(object, found);
        if (!err_is_set(found))
            found->code = ERR_INTERNAL;
    }
    return 0;
}
