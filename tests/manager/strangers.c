/* SPDX-License-Identifier: Apache-2.0 */
/* Who has no token keeps nobody out: connections of strangers, by real sockets, to a manager with few
 * descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#define N_STRANGERS 2000
#define N_FILES 1024
/* Descriptors of the manager that come and go by themselves: calls to its hosts, the database. */
#define SLACK 12
#define LOOK_AGAIN_MS 100

struct strangers {
    struct harness *harness;
    GPtrArray *streams;
    unsigned n_before; /* descriptors of the manager */
};

static unsigned n_files(const struct harness *harness)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", harness->pid);
    g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
    unsigned n = 0;
    while (g_dir_read_name(folder))
        n++;
    return n;
}

static GSocketConnection *connect_from(const struct harness *harness, const char *address, bool is_tls)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketAddress) from = g_inet_socket_address_new_from_string(address, 0);
    g_autoptr(GError) error = NULL;
    g_socket_client_set_local_address(client, from);
    if (is_tls) {
        g_socket_client_set_tls(client, TRUE);
        G_GNUC_BEGIN_IGNORE_DEPRECATIONS
        g_socket_client_set_tls_validation_flags(client, (GTlsCertificateFlags)0);
        G_GNUC_END_IGNORE_DEPRECATIONS
    }
    GSocketConnection *connection =
        g_socket_client_connect_to_host(client, "127.0.0.1", harness->port, NULL, &error);
    if (!connection)
        fail_msg("%s", error->message);
    return connection;
}

static void say(GSocketConnection *connection, const char *bytes, gsize size)
{
    GOutputStream *out = g_io_stream_get_output_stream(G_IO_STREAM(connection));
    assert_true(g_output_stream_write_all(out, bytes, size, NULL, NULL, NULL));
}

static int set_up(void **state)
{
    assert_int_equal(harness_setup(state), 0);
    struct strangers *strangers = g_new0(struct strangers, 1);
    strangers->harness = *state;
    strangers->streams = g_ptr_array_new_with_free_func(g_object_unref);
    const struct rlimit files = {N_FILES, N_FILES};
    assert_int_equal(prlimit(strangers->harness->pid, RLIMIT_NOFILE, &files, NULL), 0);
    strangers->n_before = n_files(strangers->harness);
    *state = strangers;
    return 0;
}

static int tear_down(void **state)
{
    struct strangers *strangers = *state;
    void *harness = strangers->harness;
    g_ptr_array_unref(strangers->streams);
    g_free(strangers);
    return harness_teardown(&harness);
}

/* As a command does it: on a connection of its own. */
static void operator_is_answered(struct harness *harness)
{
    g_autoptr(GTlsCertificate) ca = NULL;
    struct http_client *client, *kept = harness->client;
    assert_int_equal(http_cert_load(harness->ca_pem, NULL, &ca, NULL), 0);
    const struct http_client_config config = {
        .base = "https://127.0.0.1:8443", .token = harness->token, .ca = ca};
    assert_int_equal(http_client_new(&config, &client, NULL), 0);
    harness->client = client;
    struct answer answer = harness_call(harness, "GET", "/v1/hosts", NULL);
    harness->client = kept;
    assert_string_equal(answer.err.message, "");
    assert_int_equal(json_array_get_length(json_object_get_array_member(answer.object, "hosts")), 2);
    answer_clear(&answer);
    http_client_free(client);
}

static bool are_few(void *user)
{
    const struct strangers *strangers = user;
    return n_files(strangers->harness) <= strangers->n_before + SLACK;
}

static gboolean look_again(void *user)
{
    (void)user;
    return G_SOURCE_CONTINUE;
}

static void wait_for_descriptors(struct strangers *strangers)
{
    guint timer = g_timeout_add(LOOK_AGAIN_MS, look_again, NULL);
    harness_wait(are_few, strangers, "the descriptors to come back");
    g_source_remove(timer);
    operator_is_answered(strangers->harness);
}

/* From the operator's own address, too. */
static void two_thousand_silent_ones_keep_no_operator_out(void **state)
{
    struct strangers *strangers = *state;
    for (unsigned i = 0; i < N_STRANGERS; i++)
        g_ptr_array_add(strangers->streams,
                        connect_from(strangers->harness, i % 2 ? "127.0.0.1" : "127.0.0.2", false));
    operator_is_answered(strangers->harness);
    assert_in_range(n_files(strangers->harness), 0, N_FILES / 2);
    wait_for_descriptors(strangers);
}

/* Each would hold a thread that handshakes are made with. */
static void those_that_stop_in_the_handshake_keep_no_operator_out(void **state)
{
    struct strangers *strangers = *state;
    for (unsigned i = 0; i < 100; i++) {
        GSocketConnection *connection = connect_from(strangers->harness, "127.0.0.2", false);
        say(connection, "\x16\x03\x01", 3);
        g_ptr_array_add(strangers->streams, connection);
    }
    operator_is_answered(strangers->harness);
    wait_for_descriptors(strangers);
}

static void those_that_never_end_their_request_are_cut_off(void **state)
{
    static const char begin[] = "GET /v1/hosts HTTP/1.1\r\nHost: m\r\nX-Slow: ";
    struct strangers *strangers = *state;
    for (unsigned i = 0; i < 20; i++) {
        GSocketConnection *connection = connect_from(strangers->harness, "127.0.0.2", true);
        say(connection, begin, i % 2 ? strlen(begin) : 0);
        g_ptr_array_add(strangers->streams, connection);
    }
    assert_in_range(n_files(strangers->harness), strangers->n_before + 20, N_FILES / 2);
    wait_for_descriptors(strangers);
}

#define MANAGER "https://127.0.0.1:8443/v1/hosts"

/* A limit that leaves room for so many more; 0: as before. */
static void leave_descriptors(const struct harness *harness, unsigned n_more)
{
    const struct rlimit all = {N_FILES, N_FILES};
    struct rlimit few = all;
    unsigned n_free = 0, number = 0;
    for (; n_free <= n_more; number++) {
        g_autofree char *path = g_strdup_printf("/proc/%d/fd/%u", harness->pid, number);
        n_free += !g_file_test(path, G_FILE_TEST_IS_SYMLINK);
    }
    few.rlim_cur = number - 1;
    assert_int_equal(prlimit(harness->pid, RLIMIT_NOFILE, n_more ? &few : &all, NULL), 0);
}

/* GLib ends a process that has no descriptor left for what it needs inside. */
static void a_manager_with_few_descriptors_left_lives_on(void **state)
{
    struct strangers *strangers = *state;
    static const char *const visitors[] = {"curl",  "-s",    "-k",    "-Z",    "-m", "1",
                                           MANAGER, MANAGER, MANAGER, MANAGER, NULL};
    static const unsigned few[] = {1, 2, 3, 5, 8};
    struct harness *harness = strangers->harness;
    for (unsigned i = 0; i < G_N_ELEMENTS(few); i++) {
        leave_descriptors(harness, few[i]);
        /* Whether they are answered is all the same. */
        assert_true(
            g_spawn_sync(NULL, (char **)(uintptr_t)visitors, NULL,
                         G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
                         NULL, NULL, NULL, NULL, NULL));
        leave_descriptors(harness, 0);
        operator_is_answered(harness);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_thousand_silent_ones_keep_no_operator_out),
        TEST(those_that_stop_in_the_handshake_keep_no_operator_out),
        TEST(those_that_never_end_their_request_are_cut_off),
        TEST(a_manager_with_few_descriptors_left_lives_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
