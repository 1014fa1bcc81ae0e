/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/firewall.h"

#include <glib.h>

#define DEPTH_MAX 16 /* as the kernel allows */

struct chain {
    bool is_base;
    struct firewall_rule policy;
    GArray *rules; /* struct firewall_rule */
};

struct firewall {
    GHashTable *chains; /* key -> struct chain */
    GPtrArray *bases;   /* borrowed */
};

static void rule_clear(void *pointer)
{
    struct firewall_rule *rule = pointer;
    g_free(rule->target);
    g_free(rule->where);
    g_free(rule->fix);
}

static void chain_free(void *pointer)
{
    struct chain *chain = pointer;
    rule_clear(&chain->policy);
    g_array_unref(chain->rules);
    g_free(chain);
}

struct firewall *firewall_new(void)
{
    struct firewall *firewall = g_new0(struct firewall, 1);
    firewall->chains = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, chain_free);
    firewall->bases = g_ptr_array_new();
    return firewall;
}

void firewall_free(struct firewall *firewall)
{
    if (!firewall)
        return;
    g_ptr_array_unref(firewall->bases);
    g_hash_table_unref(firewall->chains);
    g_free(firewall);
}

static struct chain *get_chain(struct firewall *firewall, const char *key)
{
    struct chain *chain = g_hash_table_lookup(firewall->chains, key);
    if (chain)
        return chain;
    chain = g_new0(struct chain, 1);
    chain->rules = g_array_new(FALSE, FALSE, sizeof(struct firewall_rule));
    g_array_set_clear_func(chain->rules, rule_clear);
    g_hash_table_insert(firewall->chains, g_strdup(key), chain);
    return chain;
}

void firewall_add_base(struct firewall *firewall, const char *key, const struct firewall_rule *policy)
{
    struct chain *chain = get_chain(firewall, key);
    rule_clear(&chain->policy);
    chain->policy = *policy;
    if (!chain->is_base)
        g_ptr_array_add(firewall->bases, chain);
    chain->is_base = true;
}

void firewall_add(struct firewall *firewall, const char *chain, const struct firewall_rule *rule)
{
    g_array_append_val(get_chain(firewall, chain)->rules, *rule);
}

/* ---- one packet on its way through a base chain ---- */

struct walk {
    const struct firewall *firewall;
    bool may_pass;                        /* a rule that may match, or does for some senders, accepts */
    const struct firewall_rule *may_drop; /* the first that may match and drops, before any of those */
};

/* The rule that decides, or NULL: the chain's end, or a return. `match`: whether the packet gets here. */
static const struct firewall_rule *walk_chain(struct walk *walk, const char *key, enum firewall_match match,
                                              unsigned depth);

static const struct firewall_rule *walk_rules(struct walk *walk, const struct chain *chain,
                                              enum firewall_match match, unsigned depth)
{
    for (guint i = 0; i < chain->rules->len; i++) {
        const struct firewall_rule *rule = &g_array_index(chain->rules, struct firewall_rule, i);
        enum firewall_match here = MIN(match, rule->match);
        const struct firewall_rule *decided = NULL;
        bool is_jump = rule->action == ACTION_JUMP || rule->action == ACTION_GOTO;
        if (here == MATCH_NO || rule->action == ACTION_NONE)
            continue;
        if (is_jump && rule->target)
            decided = walk_chain(walk, rule->target, here, depth + 1);
        else if (here == MATCH_YES)
            decided = rule->action == ACTION_RETURN ? NULL : rule;
        else if (rule->action == ACTION_ACCEPT)
            walk->may_pass = true;
        else if (rule->action == ACTION_DROP && here == MATCH_MAYBE && !walk->may_pass && !walk->may_drop)
            walk->may_drop = rule;
        if (decided)
            return decided;
        if (here == MATCH_YES && (rule->action == ACTION_RETURN || rule->action == ACTION_GOTO))
            return NULL;
    }
    return NULL;
}

static const struct firewall_rule *walk_chain(struct walk *walk, const char *key, enum firewall_match match,
                                              unsigned depth)
{
    const struct chain *chain = g_hash_table_lookup(walk->firewall->chains, key);
    return chain && depth < DEPTH_MAX ? walk_rules(walk, chain, match, depth) : NULL;
}

static void decide(struct firewall_judgement *judgement, enum firewall_verdict verdict,
                   const struct firewall_rule *rule)
{
    if (verdict <= judgement->verdict)
        return;
    *judgement = (struct firewall_judgement){verdict, rule->where, rule->fix};
}

void firewall_judge(const struct firewall *firewall, struct firewall_judgement *ret_judgement)
{
    *ret_judgement = (struct firewall_judgement){FIREWALL_PASSES, "", ""};
    for (guint i = 0; i < firewall->bases->len; i++) {
        const struct chain *chain = firewall->bases->pdata[i];
        struct walk walk = {.firewall = firewall};
        const struct firewall_rule *last = walk_rules(&walk, chain, MATCH_YES, 0);
        last = last ? last : &chain->policy;
        /* Whoever is not let in by name falls to the end: that is meant so. */
        if (last->action == ACTION_DROP && !walk.may_pass)
            decide(ret_judgement, FIREWALL_DROPS, last);
        else if (walk.may_drop)
            decide(ret_judgement, FIREWALL_MAY_DROP, walk.may_drop);
    }
}
