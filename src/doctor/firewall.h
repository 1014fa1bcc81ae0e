/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Would the packet filter of this machine let a new TCP connection in? The rules are read for one packet, the
 * first of a connection from outside: each rule matches it, does not, or may. What depends on who sends it is
 * a case of its own: lists of allowed senders are what a good firewall has. Pure. Internal to this folder.
 */
#ifndef DOCTOR_FIREWALL_H
#define DOCTOR_FIREWALL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* In this order: of several conditions together the least counts. */
enum firewall_match { MATCH_NO, MATCH_SENDERS, MATCH_MAYBE, MATCH_YES };

enum firewall_action { ACTION_NONE, ACTION_ACCEPT, ACTION_DROP, ACTION_RETURN, ACTION_JUMP, ACTION_GOTO };

struct firewall_packet {
    bool is_v6;
    uint16_t port;
    const char *interface; /* by which it comes; "": not known, but not the loopback */
    const char *address;   /* to which it goes; "": not known */
};

struct firewall_rule {
    enum firewall_match match;
    enum firewall_action action;
    char *target; /* of a jump: another chain's key; g_free. NULL: none */
    char *where;  /* "rule 7 of chain input, table inet filter"; owned */
    char *fix;    /* what takes it out of the way; owned */
};

enum firewall_verdict { FIREWALL_PASSES, FIREWALL_MAY_DROP, FIREWALL_DROPS };

struct firewall_judgement {
    enum firewall_verdict verdict;
    const char *where, *fix; /* of the firewall, which must live on; "" if it passes */
};

struct firewall;

struct firewall *firewall_new(void);
void firewall_free(struct firewall *firewall); /* NULL ok */
/* A chain that packets enter, with what becomes of those that reach its end. */
void firewall_add_base(struct firewall *firewall, const char *chain, const struct firewall_rule *policy);
/* At the end of a chain, which is made if it is not there. The texts are taken over. */
void firewall_add(struct firewall *firewall, const char *chain, const struct firewall_rule *rule);
void firewall_judge(const struct firewall *firewall, struct firewall_judgement *ret_judgement);

/* firewall_nft.c: what `nft -j list ruleset` printed. ERR_BAD_REQUEST if it is no such thing. */
int firewall_read_nft(struct firewall *firewall, const char *json, const struct firewall_packet *packet,
                      struct err *err);
/* firewall_iptables.c: what `iptables-legacy-save -t filter` (ip6tables-…) printed. */
void firewall_read_iptables(struct firewall *firewall, const char *text,
                            const struct firewall_packet *packet);

#endif
