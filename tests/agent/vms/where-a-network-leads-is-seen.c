/* SPDX-License-Identifier: Apache-2.0 */
/* In a network namespace of its own. The kernel of a test machine may have no VLANs: tests/hosts has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "agent/network.h"

static void run(const char *command)
{
    if (system(command) != 0)
        fail_msg("%s", command);
}

static struct host_network look(uint32_t vlan)
{
    struct host_network network = {.name = "lan", .bridge = "br0", .vlan = vlan};
    network_learn_uplinks(&network, 1);
    return network;
}

static void without_an_uplink_it_is_isolated(void **state)
{
    (void)state;
    run("ip link add br0 type bridge && ip link set br0 up");
    struct host_network network = look(0);
    assert_true(network.isolated);
    assert_string_equal(network.uplink, "");
    assert_false(host_network_vlan_is_known(&network));
    run("ip tuntap add vm0 mode tap && ip link set vm0 master br0 up");
    network = look(0);
    assert_true(network.isolated); /* that of a VM is none */
    assert_string_equal(network.uplink_problem, "");
}

static void the_one_that_leads_out_is_named(void **state)
{
    (void)state;
    run("ip link add up0 type veth peer name switch0 && ip link set up0 master br0 up && ip link set switch0 "
        "up");
    struct host_network network = look(0);
    assert_false(network.isolated);
    assert_string_equal(network.uplink, "up0");
    assert_string_equal(network.uplink_problem, "");
    assert_int_equal(network.vlan, 0);
    assert_true(host_network_vlan_is_known(&network));
    assert_int_equal(look(100).vlan, 100); /* the configuration knows better */
}

static void one_that_carries_nothing_is_named_with_the_reason(void **state)
{
    (void)state;
    run("ip link set up0 down");
    assert_string_equal(look(0).uplink_problem, "up0 is down");
    run("ip link set up0 up && ip link set switch0 down");
    assert_non_null(strstr(look(0).uplink_problem, "up0 has no link"));
    run("ip link set switch0 up && ip link set br0 down");
    assert_string_equal(look(0).uplink_problem, "br0 is down");
    run("ip link set br0 up");
    assert_string_equal(look(0).uplink_problem, "");
}

static void of_several_one_is_enough(void **state)
{
    (void)state;
    run("ip link add up1 type veth peer name switch1 && ip link set up1 master br0 && ip link set switch1 "
        "up");
    struct host_network network = look(0);
    assert_string_equal(network.uplink, "");
    assert_string_equal(network.uplink_problem, "");
    assert_false(host_network_vlan_is_known(&network));
    run("ip link set up0 down");
    assert_non_null(strstr(look(0).uplink_problem, "is down"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_an_uplink_it_is_isolated),
        cmocka_unit_test(the_one_that_leads_out_is_named),
        cmocka_unit_test(one_that_carries_nothing_is_named_with_the_reason),
        cmocka_unit_test(of_several_one_is_enough),
    };
    if (unshare(CLONE_NEWNET) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
