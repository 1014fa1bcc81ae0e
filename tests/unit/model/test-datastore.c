/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "model/datastore.h"
#include "model/host.h"

#define UUID "3f0c8a52-6b1d-4e7a-9c55-0d2f4b6a8c1e"

static void an_identity_is_read_back(void **state)
{
    (void)state;
    g_autofree char *text = datastore_identity_text(UUID, "nfs");
    char uuid[MODEL_UUID_SIZE];
    struct err err = {0};
    assert_int_equal(datastore_identity_read(text, uuid, &err), 0);
    assert_string_equal(uuid, UUID);
}

static void what_is_no_identity_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "{}", "[]", "{\"uuid\":7}", "{\"uuid\":\"x\"}", "\xff{"};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        char uuid[MODEL_UUID_SIZE];
        struct err err = {0};
        assert_int_equal(datastore_identity_read(texts[i], uuid, &err), -1);
        assert_string_equal(err.id, "datastore-identity");
    }
}

/* A host that finds one read-only can do as little with it as with none. */
static void guests_can_use_what_is_there_and_writable(void **state)
{
    (void)state;
    static const struct {
        const char *state;
        bool is_usable;
    } rows[] = {
        {DATASTORE_OK, true},         {DATASTORE_FULL, true},           {DATASTORE_NOT_WRITABLE, true},
        {DATASTORE_READ_ONLY, false}, {DATASTORE_STALE, false},         {DATASTORE_MISSING, false},
        {DATASTORE_UNKNOWN, false},   {DATASTORE_UNINITIALISED, false}, {"of a later version", false},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct host_datastore datastore = {0};
        (void)g_strlcpy(datastore.state, rows[i].state, sizeof datastore.state);
        assert_int_equal(datastore_is_usable(&datastore), rows[i].is_usable);
    }
}

static void a_host_tells_its_datastores(void **state)
{
    (void)state;
    struct host_facts facts = {.n_datastores = 1,
                               .datastores = {{.name = "nfs", .path = "/d", .uuid = UUID}}};
    struct host_facts back;
    struct err err = {0};
    facts.datastores[0].free_bytes = 1ull << 50;
    g_autoptr(JsonObject) object = host_facts_to_json(&facts);
    assert_int_equal(host_facts_from_json(object, &back, &err), 0);
    assert_int_equal(back.n_datastores, 1);
    assert_memory_equal(&back.datastores[0], &facts.datastores[0], sizeof back.datastores[0]);
    assert_ptr_equal(datastore_find(back.datastores, 1, "nfs"), &back.datastores[0]);
    assert_null(datastore_find(back.datastores, 1, "other"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_identity_is_read_back),
        cmocka_unit_test(what_is_no_identity_is_refused),
        cmocka_unit_test(guests_can_use_what_is_there_and_writable),
        cmocka_unit_test(a_host_tells_its_datastores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
