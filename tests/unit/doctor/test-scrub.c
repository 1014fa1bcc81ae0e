/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <glib.h>
#include <string.h>

#include "doctor/scrub.h"

static void expect_gone(const char *text, const char *secret)
{
    g_autofree char *clean = scrub(text);
    assert_non_null(strstr(text, secret));
    if (strstr(clean, secret))
        fail_msg("%s is still in: %s", secret, clean);
    assert_non_null(strstr(clean, "[removed]"));
}

static void secrets_are_taken_out(void **state)
{
    (void)state;
    expect_gone("a gwt1.0123abcd and more", "0123abcd");
    expect_gone("--token gwe1.h1.00ff00ff00ff00ff00ff00ff00ff00ff.aa", "00ff");
    expect_gone("token=secret1\nserver=x", "secret1");
    expect_gone("{\"key\":\"MIGH\",\"a\":1}", "MIGH");
    expect_gone("psk : sesame", "sesame");
    expect_gone("Password=\"open sesame\"", "open");
    expect_gone("Authorization: Bearer abc.def", "abc.def");
    expect_gone("x -----BEGIN PRIVATE KEY-----\nMIGHAgEA\nBByqGSM4\n-----END PRIVATE KEY----- y", "BByqGSM4");
    expect_gone("cut off -----BEGIN EC PRIVATE KEY-----\nMIGHAgEA\n", "MIGHAgEA");
    expect_gone("ticket 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", "ccddeeff");
}

static void what_helps_stays(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "name=h1\nlisten=198.18.1.11\nmemory_reserve_mib=512\n",
        "2026-11-23T00:16:30.123Z INFO godwit-agent[412] move=4f0c8a52-6b1d-4e7a-9c55-0d2f4b6a8c1e text",
        "link/ether 52:54:00:12:34:56 brd ff:ff:ff:ff:ff:ff",
        "fd00:0001:0002:0003:0004:0005:0006:0007",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *clean = scrub(texts[i]);
        assert_string_equal(clean, texts[i]);
    }
}

static void bytes_that_are_no_text_are_made_one(void **state)
{
    (void)state;
    g_autofree char *clean = scrub("a\xff\xfe token=b");
    assert_true(g_utf8_validate(clean, -1, NULL));
    assert_null(strstr(clean, "token=b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_are_taken_out),
        cmocka_unit_test(what_helps_stays),
        cmocka_unit_test(bytes_that_are_no_text_are_made_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
