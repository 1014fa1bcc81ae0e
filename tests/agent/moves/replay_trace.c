/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "tests/agent/moves/replay.h"

#define STEPS_MAX "2000"
#define WORDS 13 /* of a host */

static enum journal_step step_named(const char *name)
{
    for (unsigned step = JOURNAL_NONE; step <= JOURNAL_RETURNED; step++)
        if (!strcmp(name, journal_step_name((enum journal_step)step)))
            return (enum journal_step)step;
    fail("the model says %s", name);
}

static enum replay_qemu qemu_named(const char *name)
{
    static const char *const names[] = {"Q_NONE", "Q_WAIT", "Q_PAUSED", "Q_RUN"};
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
        if (!strcmp(name, names[i]))
            return (enum replay_qemu)i;
    fail("the model says %s", name);
}

/* "@ NAME HOST", then thirteen words for each host: TOLD in the model. */
static void parse_step(const char *line, struct step *ret_step)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    CHECK(g_strv_length(words) == 3 + 2 * WORDS, "cannot read %s", line);
    *ret_step = (struct step){.host = (unsigned)atoi(words[2])};
    g_strlcpy(ret_step->name, words[1], sizeof ret_step->name);
    for (unsigned h = 0; h < 2; h++) {
        char **word = words + 3 + (ptrdiff_t)h * WORDS;
        unsigned numbers[WORDS];
        for (unsigned i = 0; i < WORDS; i++)
            numbers[i] = (unsigned)atoi(word[i]);
        ret_step->view[h] = (struct view){
            .up = numbers[0],
            .unsynced = numbers[1],
            .is_tainted = numbers[2],
            .out = step_named(word[3]),
            .out_epoch = numbers[4],
            .in = step_named(word[5]),
            .in_epoch = numbers[6],
            .qemu = qemu_named(word[7]),
            .pending = numbers[8],
            .has_job = numbers[9],
            .is_stopped = numbers[10],
            .is_sure = numbers[11],
            .has_failed = numbers[12],
        };
    }
}

void draw_steps(const char *const *flags)
{
    /* Spin's first draws with neighbouring seeds are alike. */
    g_autofree char *seed = g_strdup_printf("-n%d", g_rand_int_range(run.random, 1, G_MAXINT32));
    g_autofree char *text = NULL;
    g_autofree char *errors = NULL;
    int status = 0;
    const char *model = getenv("MODEL");
    GPtrArray *argv = g_ptr_array_new();
    for (const char *const *word = (const char *const[]){"spin", "-T", "-u" STEPS_MAX, seed, "-DTRACE", NULL};
         *word; word++)
        g_ptr_array_add(argv, (gpointer)*word);
    for (; *flags; flags++)
        g_ptr_array_add(argv, (gpointer)*flags);
    g_ptr_array_add(argv, (gpointer)model);
    g_ptr_array_add(argv, NULL);
    CHECK(g_spawn_sync(run.folder, (char **)argv->pdata, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &text,
                       &errors, &status, NULL) &&
              status == 0,
          "spin: %s%s", text, errors);
    (void)g_ptr_array_free(argv, TRUE);
    CHECK(!strstr(text, "Error") && !strstr(text, "violated"), "spin: %s", text);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        struct step step;
        if (!g_str_has_prefix(*line, "@ "))
            continue;
        parse_step(*line, &step);
        g_array_append_val(run.steps, step);
    }
    CHECK(run.steps->len, "no steps: %s", text);
}
