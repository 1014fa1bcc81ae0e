/* SPDX-License-Identifier: Apache-2.0 */
#include "model/diagnosis.h"

#include "model/move.h"

struct diagnoses {
    GPtrArray *lines;
};

static const char *const verdicts[] = {
    [DIAGNOSIS_OK] = "ok",
    [DIAGNOSIS_WARNING] = "warning",
    [DIAGNOSIS_PROBLEM] = "problem",
    [DIAGNOSIS_NOT_HERE] = "not-here",
};

const char *diagnosis_verdict_name(enum diagnosis_verdict verdict)
{
    return verdicts[verdict];
}

struct diagnoses *diagnoses_new(void)
{
    struct diagnoses *list = g_new0(struct diagnoses, 1);
    list->lines = g_ptr_array_new_with_free_func(g_free);
    return list;
}

void diagnoses_free(struct diagnoses *list)
{
    if (!list)
        return;
    g_ptr_array_unref(list->lines);
    g_free(list);
}

struct err *diagnoses_add(struct diagnoses *list, const struct diagnosis *line)
{
    struct diagnosis *added = g_memdup2(line, sizeof *line);
    g_ptr_array_add(list->lines, added);
    return &added->err;
}

unsigned diagnoses_count(const struct diagnoses *list)
{
    return list->lines->len;
}

const struct diagnosis *diagnoses_get(const struct diagnoses *list, unsigned index)
{
    return list->lines->pdata[index];
}

unsigned diagnoses_count_of(const struct diagnoses *list, enum diagnosis_verdict verdict)
{
    unsigned n = 0;
    for (unsigned i = 0; i < list->lines->len; i++)
        n += diagnoses_get(list, i)->verdict == verdict;
    return n;
}

static JsonObject *line_to_json(const struct diagnosis *line)
{
    g_autoptr(JsonObject) document = model_error_to_json(&line->err);
    JsonObject *object = json_object_ref(json_object_get_object_member(document, "error"));
    json_object_remove_member(object, "code");
    json_object_remove_member(object, "phase");
    json_object_remove_member(object, "side");
    json_object_set_string_member(object, "verdict", diagnosis_verdict_name(line->verdict));
    json_object_set_string_member(object, "what", line->what);
    return object;
}

JsonArray *diagnoses_to_json(const struct diagnoses *list)
{
    JsonArray *array = json_array_new();
    for (unsigned i = 0; i < list->lines->len; i++)
        json_array_add_object_element(array, line_to_json(diagnoses_get(list, i)));
    return array;
}
