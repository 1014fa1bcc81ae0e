/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/config.h"

#include <glib/gstdio.h>
#include <string.h>

static int read_text(const char *text, struct agent_config *ret_config, struct err *err)
{
    g_autofree char *folder = g_dir_make_tmp("agent-config-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "test.conf", NULL);
    assert_true(g_file_set_contents(path, text, -1, NULL));
    int result = config_read(path, ret_config, err);
    (void)g_unlink(path);
    (void)g_rmdir(folder);
    return result;
}

static void refused(const char *text, const char *words)
{
    struct agent_config config;
    struct err err = {0};
    assert_int_equal(read_text(text, &config, &err), -1);
    assert_string_equal(err.id, "bad-configuration");
    if (!strstr(err.message, words) || !strstr(err.message, "/test.conf"))
        fail_msg("'%s' or the file is not in: %s", words, err.message);
}

static void an_unknown_group_or_key_is_named(void **state)
{
    (void)state;
    refused("[agent]\nname=a\n[migrate]\nenabled=true\n", "[migrate] enabled: unknown group");
    refused("[agent]\nname=a\n[empty]\n", "[empty]: unknown group");
    refused("[network a]\nbrigde=b\n", "[network a] brigde");
}

#define AGENT "[agent]\nname=a\nqemu_user=1:1\njob_user=1:1\ndoor_user=1:1\n"

static void a_lease_has_a_term_within_its_limits(void **state)
{
    (void)state;
    refused(AGENT "[migration]\nlease_s=0\n", "[migration] lease_s: must be at least 1");
    refused(AGENT "[migration]\nlease_s=3601\n", "[migration] lease_s: must be a whole number");
    refused(AGENT "[migration]\nlease_s=a minute\n", "[migration] lease_s");
}

static void a_network_may_say_which_vlan_it_is(void **state)
{
    (void)state;
    struct agent_config config;
    struct err err = {0};
    assert_int_equal(
        read_text(AGENT "[network a]\nbridge=b\n[network c]\nbridge=d\nvlan=4094\n", &config, &err), 0);
    assert_int_equal(config.networks[0].vlan, 0);
    assert_int_equal(config.networks[1].vlan, 4094);
    refused(AGENT "[network a]\nbridge=b\nvlan=4095\n", "[network a] vlan: must be a whole number");
    refused(AGENT "[network a]\nbridge=b\nvlan=web\n", "[network a] vlan");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_unknown_group_or_key_is_named),
                                       cmocka_unit_test(a_network_may_say_which_vlan_it_is),
                                       cmocka_unit_test(a_lease_has_a_term_within_its_limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
