/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <glib.h>
#include <string.h>

#include "doctor/firewall.h"

static const struct firewall_packet packet = {.port = 8000, .interface = "eth1", .address = "198.18.2.11"};

#define CHAIN(policy)                                                                                        \
    "{\"chain\":{\"family\":\"inet\",\"table\":\"t\",\"name\":\"in\",\"handle\":1,\"type\":\"filter\","      \
    "\"hook\":\"input\",\"prio\":0,\"policy\":\"" policy "\"}}"
#define USERS_CHAIN(name)                                                                                    \
    "{\"chain\":{\"family\":\"inet\",\"table\":\"t\",\"name\":\"" name "\",\"handle\":2}}"
#define RULE_IN(chain, handle, expressions)                                                                  \
    "{\"rule\":{\"family\":\"inet\",\"table\":\"t\",\"chain\":\"" chain "\",\"handle\":" #handle             \
    ",\"expr\":[" expressions "]}}"
#define RULE(handle, expressions) RULE_IN("in", handle, expressions)
#define MATCH(op, left, right) "{\"match\":{\"op\":\"" op "\",\"left\":" left ",\"right\":" right "}}"
#define FIELD(protocol, field) "{\"payload\":{\"protocol\":\"" protocol "\",\"field\":\"" field "\"}}"
#define META(key) "{\"meta\":{\"key\":\"" key "\"}}"
#define DPORT(right) MATCH("==", FIELD("tcp", "dport"), right)
#define DROP "{\"drop\":null}"
#define ACCEPT "{\"accept\":null}"

struct judged {
    enum firewall_verdict verdict;
    char where[128], fix[128];
};

static struct judged judge(const struct firewall_packet *seen, const char *elements)
{
    g_autofree char *json = g_strdup_printf("{\"nftables\":[{\"metainfo\":{}},%s]}", elements);
    struct firewall *firewall = firewall_new();
    struct firewall_judgement judgement;
    struct judged judged = {0};
    struct err err = {0};
    if (firewall_read_nft(firewall, json, seen, &err) < 0)
        fail_msg("%s: %s", err.message, json);
    firewall_judge(firewall, &judgement);
    judged.verdict = judgement.verdict;
    (void)g_strlcpy(judged.where, judgement.where, sizeof judged.where);
    (void)g_strlcpy(judged.fix, judgement.fix, sizeof judged.fix);
    firewall_free(firewall);
    return judged;
}

static void expect(const char *elements, enum firewall_verdict verdict)
{
    struct judged judged = judge(&packet, elements);
    if (judged.verdict != verdict)
        fail_msg("%d and not %d (%s): %s", judged.verdict, verdict, judged.where, elements);
}

static void a_rule_that_drops_the_port_is_named_with_its_cure(void **state)
{
    (void)state;
    struct judged judged = judge(&packet, CHAIN("accept") "," RULE(7, DPORT("8000") "," DROP));
    assert_int_equal(judged.verdict, FIREWALL_DROPS);
    assert_string_equal(judged.where, "rule 7 of chain in in table inet t");
    assert_string_equal(judged.fix, "nft delete rule inet t in handle 7");
    expect(CHAIN("accept") "," RULE(7, DPORT("8001") "," DROP), FIREWALL_PASSES);
    expect(CHAIN("accept") "," RULE(7, DPORT("8000") ",{\"reject\":{\"type\":\"tcp reset\"}}"),
           FIREWALL_DROPS);
    expect(CHAIN("accept") "," RULE(7, DPORT("{\"set\":[22,{\"range\":[7999,8001]}]}") "," DROP),
           FIREWALL_DROPS);
    expect(CHAIN("accept") "," RULE(7, DPORT("{\"set\":[22,80]}") "," DROP), FIREWALL_PASSES);
    expect(CHAIN("accept") "," RULE(7, MATCH("!=", FIELD("tcp", "dport"), "8000") "," DROP), FIREWALL_PASSES);
    expect(CHAIN("accept") "," RULE(7, MATCH("==", META("iifname"), "\"eth1\"") "," DROP), FIREWALL_DROPS);
    expect(CHAIN("accept") "," RULE(7, MATCH("==", META("iifname"), "\"eth*\"") "," DROP), FIREWALL_DROPS);
    expect(CHAIN("accept") "," RULE(7, MATCH("==", META("iifname"), "\"eth0\"") "," DROP), FIREWALL_PASSES);
}

static void a_policy_that_drops_needs_a_rule_that_accepts(void **state)
{
    (void)state;
    struct judged judged = judge(&packet, CHAIN("drop"));
    assert_int_equal(judged.verdict, FIREWALL_DROPS);
    assert_string_equal(judged.fix, "nft add rule inet t in tcp dport 8000 accept");
    expect(CHAIN("drop") "," RULE(7, DPORT("22") "," ACCEPT), FIREWALL_DROPS);
    expect(CHAIN("drop") "," RULE(7, DPORT("8000") "," ACCEPT), FIREWALL_PASSES);
    /* What is open for those who are there, or for the loopback, is not open for a new one. */
    expect(CHAIN("drop") "," RULE(
               7, MATCH("in", "{\"ct\":{\"key\":\"state\"}}", "[\"established\",\"related\"]") "," ACCEPT),
           FIREWALL_DROPS);
    expect(CHAIN("drop") "," RULE(7, MATCH("==", META("iif"), "\"lo\"") "," ACCEPT), FIREWALL_DROPS);
    expect(CHAIN("drop") "," RULE(
               7, "{\"vmap\":{\"key\":" FIELD("tcp", "dport") ",\"data\":{\"set\":[[8000," ACCEPT "]]}}}"),
           FIREWALL_PASSES);
    expect(CHAIN("drop") "," RULE(
               7, "{\"vmap\":{\"key\":" FIELD("tcp", "dport") ",\"data\":{\"set\":[[22," ACCEPT "]]}}}"),
           FIREWALL_DROPS);
}

static void lists_of_allowed_senders_are_no_fault(void **state)
{
    (void)state;
    const char *sender = MATCH("!=", FIELD("ip", "saddr"), "\"@migration\"");
    g_autofree char *others = g_strdup_printf(
        CHAIN("accept") ",%s%s"
                        "," DROP "]}}",
        "{\"rule\":{\"family\":\"inet\",\"table\":\"t\",\"chain\":\"in\",\"handle\":7,\"expr\":[" DPORT(
            "8000") ",",
        sender);
    expect(others, FIREWALL_PASSES);
    expect(CHAIN("drop") "," RULE(
               7, MATCH("==", FIELD("ip", "saddr"), "\"198.18.2.12\"") "," DPORT("8000") "," ACCEPT),
           FIREWALL_PASSES);
}

static void what_may_match_is_a_warning(void **state)
{
    (void)state;
    expect(CHAIN("accept") "," RULE(7, MATCH(">", META("length"), "1300") "," DROP), FIREWALL_MAY_DROP);
    expect(CHAIN("accept") "," RULE(7, "{\"xt\":null}," DROP), FIREWALL_MAY_DROP);
    expect(CHAIN("accept") "," RULE(7, MATCH(">", META("length"), "1300") "," DPORT("22") "," DROP),
           FIREWALL_PASSES);
    expect(CHAIN("accept") "," RULE(6, DPORT("8000") "," ACCEPT) "," RULE(
               7, MATCH(">", META("length"), "1300") "," DROP),
           FIREWALL_PASSES);
}

static void other_protocols_and_chains_do_not_count(void **state)
{
    (void)state;
    const struct firewall_packet v6 = {
        .is_v6 = true, .port = 8000, .interface = "eth1", .address = "fd00::1"};
    expect(CHAIN("accept") "," RULE(7, MATCH("==", FIELD("udp", "dport"), "8000") "," DROP), FIREWALL_PASSES);
    expect(CHAIN("accept") "," RULE(7, MATCH("!=", FIELD("icmp", "type"), "\"echo-request\"") "," DROP),
           FIREWALL_PASSES);
    expect(CHAIN("accept") "," RULE(7, MATCH("==", META("l4proto"), "\"udp\"") "," DROP), FIREWALL_PASSES);
    expect("{\"chain\":{\"family\":\"inet\",\"table\":\"t\",\"name\":\"out\",\"type\":\"filter\",\"hook\":"
           "\"output\","
           "\"policy\":\"drop\"}}",
           FIREWALL_PASSES);
    assert_int_equal(
        judge(&v6, CHAIN("accept") "," RULE(7, MATCH("==", FIELD("ip", "daddr"), "\"198.18.2.11\"") "," DROP))
            .verdict,
        FIREWALL_PASSES);
    assert_int_equal(
        judge(&v6, CHAIN("accept") "," RULE(7, MATCH("==", META("nfproto"), "\"ipv6\"") "," DROP)).verdict,
        FIREWALL_DROPS);
}

static void jumps_are_followed_and_come_back(void **state)
{
    (void)state;
    const char *jump =
        CHAIN("accept") "," USERS_CHAIN("more") "," RULE(3, "{\"jump\":{\"target\":\"more\"}}") ",";
    g_autofree char *drops = g_strconcat(jump, RULE_IN("more", 9, DPORT("8000") "," DROP), NULL);
    g_autofree char *returns = g_strconcat(jump, RULE_IN("more", 9, DPORT("8000") ",{\"return\":null}"), ",",
                                           RULE_IN("more", 10, DROP), NULL);
    g_autofree char *loops = g_strconcat(jump, RULE_IN("more", 9, "{\"jump\":{\"target\":\"more\"}}"), NULL);
    expect(drops, FIREWALL_DROPS);
    assert_string_equal(judge(&packet, drops).fix, "nft delete rule inet t more handle 9");
    expect(returns, FIREWALL_PASSES);
    expect(loops, FIREWALL_PASSES);
}

static void what_is_no_ruleset_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "[]", "{}", "{\"nftables\":{}}", "{\"nftables\":1}"};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        struct firewall *firewall = firewall_new();
        assert_int_equal(firewall_read_nft(firewall, texts[i], &packet, NULL), -1);
        firewall_free(firewall);
    }
    /* Elements of any other shape are no rules. */
    expect("1,[],{\"rule\":1},{\"rule\":{\"expr\":[1,{\"match\":{}},{\"vmap\":{}}]}},{\"chain\":{}}",
           FIREWALL_PASSES);
}

static enum firewall_verdict judge_iptables(const char *rules)
{
    struct firewall *firewall = firewall_new();
    struct firewall_judgement judgement;
    firewall_read_iptables(firewall, rules, &packet);
    firewall_judge(firewall, &judgement);
    enum firewall_verdict verdict = judgement.verdict;
    if (verdict == FIREWALL_DROPS)
        assert_non_null(strstr(judgement.fix, "iptables-legacy -"));
    firewall_free(firewall);
    return verdict;
}

static void rules_of_the_old_iptables_are_read_too(void **state)
{
    (void)state;
    assert_int_equal(
        judge_iptables("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dport 8000 -j DROP\nCOMMIT\n"),
        FIREWALL_DROPS);
    assert_int_equal(judge_iptables(":INPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j DROP\n"),
                     FIREWALL_PASSES);
    assert_int_equal(judge_iptables(":INPUT DROP [0:0]\n"), FIREWALL_DROPS);
    assert_int_equal(
        judge_iptables(":INPUT DROP [0:0]\n-A INPUT -p tcp -m multiport --dports 22,7000:9000 -j ACCEPT\n"),
        FIREWALL_PASSES);
    assert_int_equal(
        judge_iptables(":INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"),
        FIREWALL_DROPS);
    assert_int_equal(
        judge_iptables(":INPUT DROP [0:0]\n-A INPUT -s 198.18.2.0/24 -p tcp --dport 8000 -j ACCEPT\n"),
        FIREWALL_PASSES);
    assert_int_equal(
        judge_iptables(":INPUT ACCEPT [0:0]\n:more - [0:0]\n-A INPUT -i eth+ -j more\n"
                       "-A more ! -i eth0 -m comment --comment \"a b\" -j REJECT --reject-with tcp-reset\n"),
        FIREWALL_DROPS);
    assert_int_equal(judge_iptables(":INPUT ACCEPT [0:0]\n-A INPUT -m length --length 1300:65535 -j DROP\n"),
                     FIREWALL_MAY_DROP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_that_drops_the_port_is_named_with_its_cure),
        cmocka_unit_test(a_policy_that_drops_needs_a_rule_that_accepts),
        cmocka_unit_test(lists_of_allowed_senders_are_no_fault),
        cmocka_unit_test(what_may_match_is_a_warning),
        cmocka_unit_test(other_protocols_and_chains_do_not_count),
        cmocka_unit_test(jumps_are_followed_and_come_back),
        cmocka_unit_test(what_is_no_ruleset_is_refused),
        cmocka_unit_test(rules_of_the_old_iptables_are_read_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
