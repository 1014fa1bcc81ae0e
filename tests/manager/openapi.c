/* SPDX-License-Identifier: Apache-2.0 */
/* The document of the API that the manager serves has each of its routes, and no other. What they take and
 * answer is compared in tests/e2e/the-api-is-what-its-document-says.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"
#include "manager/routes.h"

#include <string.h>

static enum http_access access_of(JsonObject *operation)
{
    if (!json_object_has_member(operation, "security"))
        return HTTP_TOKEN;
    JsonArray *security = json_object_get_array_member(operation, "security");
    if (!json_array_get_length(security))
        return HTTP_OPEN;
    assert_true(json_object_has_member(json_array_get_object_element(security, 0), "hostCertificate"));
    return HTTP_CLIENT;
}

static const struct http_route *find_route(const char *method, const char *path)
{
    for (const struct http_route *route = routes_table; route->method; route++)
        if (!g_ascii_strcasecmp(route->method, method) && !strcmp(route->path, path))
            return route;
    return NULL;
}

static unsigned check_path(const char *path, JsonObject *methods)
{
    JsonObjectIter iter;
    const char *method;
    JsonNode *node;
    json_object_iter_init(&iter, methods);
    while (json_object_iter_next(&iter, &method, &node)) {
        const struct http_route *route = find_route(method, path);
        if (!route)
            fail_msg("the document has %s %s, which is no route", method, path);
        if (access_of(json_node_get_object(node)) != route->access)
            fail_msg("the document says who may call %s %s, and it is not so", method, path);
    }
    return json_object_get_size(methods);
}

static void each_route_is_described_and_no_other(void **state)
{
    struct harness *harness = *state;
    struct answer answer = harness_call(harness, "GET", "/v1/openapi", NULL);
    assert_string_equal(answer.err.message, "");
    JsonObject *paths = json_object_get_object_member(answer.object, "paths");
    JsonObjectIter iter;
    const char *path;
    JsonNode *node;
    unsigned n_described = 0;
    json_object_iter_init(&iter, paths);
    while (json_object_iter_next(&iter, &path, &node))
        n_described += check_path(path, json_node_get_object(node));
    for (const struct http_route *route = routes_table; route->method; route++) {
        g_autofree char *method = g_ascii_strdown(route->method, -1);
        JsonNode *methods = json_object_get_member(paths, route->path);
        if (!methods || !json_object_has_member(json_node_get_object(methods), method))
            fail_msg("the document does not have %s %s", route->method, route->path);
        n_described--;
    }
    assert_int_equal(n_described, 0);
    answer_clear(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_route_is_described_and_no_other, harness_setup_bare,
                                        harness_teardown),
    };
    return cmocka_run_group_tests_name("openapi", tests, NULL, NULL);
}
