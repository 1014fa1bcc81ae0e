/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "doctor/firewall.h"
#include "model/move.h"

/* What of the packet a rule asks for. */
struct fact {
    enum firewall_match otherwise; /* if it is not known */
    const char *text;              /* NULL: it is a number, or not known */
    gint64 number;                 /* -1: none */
};
static const struct fact unknown = {MATCH_MAYBE, NULL, -1};
static const struct fact of_sender = {MATCH_SENDERS, NULL, -1};

static struct fact as_text(const char *text)
{
    return (struct fact){MATCH_MAYBE, *text ? text : NULL, -1};
}

static JsonObject *object_in(JsonObject *object, const char *member)
{
    JsonNode *node = json_object_get_member(object, member);
    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

/* ---- what it asks for ---- */

static struct fact fact_of_payload(JsonObject *payload, const struct firewall_packet *packet)
{
    const char *protocol = model_text(payload, "protocol"), *field = model_text(payload, "field");
    bool is_ip = !strcmp(protocol, "ip"), is_ip6 = !strcmp(protocol, "ip6");
    if (!strcmp(protocol, "tcp") || !strcmp(protocol, "th"))
        return !strcmp(field, "dport") ? (struct fact){MATCH_MAYBE, NULL, packet->port} : unknown;
    if ((is_ip && packet->is_v6) || (is_ip6 && !packet->is_v6))
        return (struct fact){MATCH_NO, NULL, -1};
    if (!strcmp(field, "saddr"))
        return of_sender;
    if ((is_ip || is_ip6) && !strcmp(field, "daddr"))
        return as_text(packet->address);
    if ((is_ip && !strcmp(field, "protocol")) || (is_ip6 && !strcmp(field, "nexthdr")))
        return as_text("tcp");
    /* Of udp, icmp and others there is nothing in it. */
    return is_ip || is_ip6 || !strcmp(protocol, "ether") ? unknown : (struct fact){MATCH_NO, NULL, -1};
}

static struct fact fact_of_meta(JsonObject *meta, const struct firewall_packet *packet)
{
    const char *key = model_text(meta, "key");
    if (!strcmp(key, "iifname") || !strcmp(key, "iif"))
        return as_text(packet->interface);
    if (!strcmp(key, "l4proto"))
        return as_text("tcp");
    if (!strcmp(key, "nfproto"))
        return as_text(packet->is_v6 ? "ipv6" : "ipv4");
    return !strcmp(key, "protocol") ? as_text(packet->is_v6 ? "ip6" : "ip") : unknown;
}

static struct fact fact_of(JsonNode *left, const struct firewall_packet *packet)
{
    JsonObject *object = left && JSON_NODE_HOLDS_OBJECT(left) ? json_node_get_object(left) : NULL;
    if (!object)
        return unknown;
    JsonObject *payload = object_in(object, "payload"), *meta = object_in(object, "meta");
    JsonObject *ct = object_in(object, "ct"), *fib = object_in(object, "fib");
    if (payload)
        return fact_of_payload(payload, packet);
    if (meta)
        return fact_of_meta(meta, packet);
    if (ct)
        return !strcmp(model_text(ct, "key"), "state") ? as_text("new") : unknown;
    if (fib)
        return !strcmp(model_text(fib, "result"), "type") ? as_text("local") : of_sender;
    return unknown;
}

/* ---- what it must be ---- */

static enum firewall_match is_value(JsonNode *right, const struct fact *fact);

static enum firewall_match is_any_of(JsonArray *array, const struct fact *fact)
{
    enum firewall_match best = MATCH_NO;
    for (guint i = 0; i < json_array_get_length(array); i++)
        best = MAX(best, is_value(json_array_get_element(array, i), fact));
    return best;
}

static enum firewall_match is_in_range(JsonArray *range, const struct fact *fact)
{
    if (fact->number < 0 || json_array_get_length(range) != 2)
        return MATCH_MAYBE;
    return fact->number >= json_array_get_int_element(range, 0) &&
                   fact->number <= json_array_get_int_element(range, 1)
               ? MATCH_YES
               : MATCH_NO;
}

static enum firewall_match is_text(const char *text, const struct fact *fact)
{
    if (text[0] == '@') /* a named set, whose content may change */
        return MATCH_MAYBE;
    if (!fact->text)
        return !strcmp(text, "lo") ? MATCH_NO : fact->otherwise;
    size_t length = strlen(text);
    if (length && text[length - 1] == '*')
        return !strncmp(text, fact->text, length - 1) ? MATCH_YES : MATCH_NO;
    return !strcmp(text, fact->text) ? MATCH_YES : MATCH_NO;
}

static enum firewall_match is_object(JsonObject *object, const struct fact *fact)
{
    JsonNode *set = json_object_get_member(object, "set"), *range = json_object_get_member(object, "range");
    JsonObject *element = object_in(object, "elem");
    if (set)
        return is_value(set, fact);
    if (range && JSON_NODE_HOLDS_ARRAY(range))
        return is_in_range(json_node_get_array(range), fact);
    if (element && json_object_has_member(element, "val"))
        return is_value(json_object_get_member(element, "val"), fact);
    return fact->otherwise;
}

static enum firewall_match is_value(JsonNode *right, const struct fact *fact)
{
    if (fact->otherwise != MATCH_MAYBE || !right)
        return fact->otherwise;
    if (JSON_NODE_HOLDS_ARRAY(right))
        return is_any_of(json_node_get_array(right), fact);
    if (JSON_NODE_HOLDS_OBJECT(right))
        return is_object(json_node_get_object(right), fact);
    if (json_node_get_value_type(right) == G_TYPE_STRING)
        return is_text(json_node_get_string(right), fact);
    if (json_node_get_value_type(right) != G_TYPE_INT64 || fact->number < 0)
        return MATCH_MAYBE;
    return json_node_get_int(right) == fact->number ? MATCH_YES : MATCH_NO;
}

static enum firewall_match match_of(JsonObject *match, const struct firewall_packet *packet)
{
    const struct fact fact = fact_of(json_object_get_member(match, "left"), packet);
    const char *op = model_text(match, "op");
    enum firewall_match is = is_value(json_object_get_member(match, "right"), &fact);
    if (!strcmp(op, "==") || !strcmp(op, "in"))
        return is;
    /* What is not in the packet at all is not unequal either. */
    if (strcmp(op, "!=") != 0 || fact.otherwise == MATCH_NO)
        return MIN(fact.otherwise, MATCH_MAYBE);
    return is == MATCH_YES ? MATCH_NO : is == MATCH_NO ? MATCH_YES : is;
}

/* ---- rules ---- */

struct place {
    const char *family, *table, *chain;
    gint64 handle;
    struct firewall *firewall;
    const struct firewall_packet *packet;
};

static char *chain_key(const struct place *place, const char *chain)
{
    return g_strdup_printf("%s %s %s", place->family, place->table, chain);
}

static void add_rule(const struct place *place, enum firewall_match match, enum firewall_action action,
                     const char *target)
{
    g_autofree char *key = chain_key(place, place->chain);
    const struct firewall_rule rule = {
        .match = match,
        .action = action,
        .target = target ? chain_key(place, target) : NULL,
        .where = g_strdup_printf("rule %" G_GINT64_FORMAT " of chain %s in table %s %s", place->handle,
                                 place->chain, place->family, place->table),
        .fix = g_strdup_printf("nft delete rule %s %s %s handle %" G_GINT64_FORMAT, place->family,
                               place->table, place->chain, place->handle)};
    firewall_add(place->firewall, key, &rule);
}

/* True if the statement is a verdict, which was added. */
static bool add_verdict(const struct place *place, JsonObject *statement, enum firewall_match match)
{
    static const struct {
        const char *name;
        enum firewall_action action;
    } verdicts[] = {{"accept", ACTION_ACCEPT}, {"drop", ACTION_DROP}, {"reject", ACTION_DROP},
                    {"return", ACTION_RETURN}, {"jump", ACTION_JUMP}, {"goto", ACTION_GOTO}};
    for (size_t i = 0; i < G_N_ELEMENTS(verdicts); i++) {
        if (!json_object_has_member(statement, verdicts[i].name))
            continue;
        JsonObject *jump = object_in(statement, verdicts[i].name);
        bool is_jump = verdicts[i].action == ACTION_JUMP || verdicts[i].action == ACTION_GOTO;
        add_rule(place, match, verdicts[i].action, is_jump && jump ? model_text(jump, "target") : NULL);
        return true;
    }
    return false;
}

/* { key : verdict, … }: a rule for each. One that is a named map may do anything, so it does nothing here. */
static void add_map(const struct place *place, JsonObject *map, enum firewall_match match)
{
    const struct fact fact = fact_of(json_object_get_member(map, "key"), place->packet);
    JsonObject *data = object_in(map, "data");
    JsonNode *set = data ? json_object_get_member(data, "set") : NULL;
    JsonArray *pairs = set && JSON_NODE_HOLDS_ARRAY(set) ? json_node_get_array(set) : NULL;
    for (guint i = 0; pairs && i < json_array_get_length(pairs); i++) {
        JsonNode *node = json_array_get_element(pairs, i);
        JsonArray *pair = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
        if (!pair || json_array_get_length(pair) != 2 ||
            !JSON_NODE_HOLDS_OBJECT(json_array_get_element(pair, 1)))
            continue;
        enum firewall_match its = is_value(json_array_get_element(pair, 0), &fact);
        (void)add_verdict(place, json_array_get_object_element(pair, 1), MIN(match, its));
    }
}

static bool is_condition(JsonObject *statement)
{
    return json_object_has_member(statement, "limit") || json_object_has_member(statement, "xt") ||
           json_object_has_member(statement, "ct count");
}

static void read_rule(const struct place *place, JsonObject *rule)
{
    JsonNode *expressions = json_object_get_member(rule, "expr");
    JsonArray *array =
        expressions && JSON_NODE_HOLDS_ARRAY(expressions) ? json_node_get_array(expressions) : NULL;
    enum firewall_match match = MATCH_YES;
    for (guint i = 0; array && i < json_array_get_length(array); i++) {
        JsonNode *node = json_array_get_element(array, i);
        if (!JSON_NODE_HOLDS_OBJECT(node))
            continue;
        JsonObject *statement = json_node_get_object(node);
        JsonObject *condition = object_in(statement, "match"), *map = object_in(statement, "vmap");
        if (condition)
            match = MIN(match, match_of(condition, place->packet));
        else if (map)
            add_map(place, map, match);
        else if (is_condition(statement))
            match = MIN(match, MATCH_MAYBE);
        else if (add_verdict(place, statement, match))
            return;
    }
}

/* ---- chains ---- */

static bool comes_by(const struct place *place, JsonObject *chain)
{
    const char *hook = model_text(chain, "hook"), *family = place->family, *device = model_text(chain, "dev");
    bool is_family = !strcmp(family, "inet") || !strcmp(family, place->packet->is_v6 ? "ip6" : "ip");
    if (strcmp(model_text(chain, "type"), "filter") != 0)
        return false;
    if (!strcmp(family, "netdev"))
        return !strcmp(hook, "ingress") && *device && !strcmp(device, place->packet->interface);
    return is_family && (!strcmp(hook, "input") || !strcmp(hook, "prerouting"));
}

static void read_chain(const struct place *place, JsonObject *chain)
{
    const char *name = model_text(chain, "name");
    g_autofree char *key = chain_key(place, name);
    bool drops = !strcmp(model_text(chain, "policy"), "drop");
    if (!comes_by(place, chain))
        return;
    const struct firewall_rule policy = {
        .match = MATCH_YES,
        .action = drops ? ACTION_DROP : ACTION_ACCEPT,
        .where = g_strdup_printf("the policy of chain %s in table %s %s", name, place->family, place->table),
        .fix = g_strdup_printf("nft add rule %s %s %s tcp dport %u accept", place->family, place->table, name,
                               place->packet->port)};
    firewall_add_base(place->firewall, key, &policy);
}

int firewall_read_nft(struct firewall *firewall, const char *json, const struct firewall_packet *packet,
                      struct err *err)
{
    g_autoptr(JsonObject) document = NULL;
    if (model_parse(json, -1, &document, err) < 0)
        return -1;
    JsonNode *list = json_object_get_member(document, "nftables");
    if (!list || !JSON_NODE_HOLDS_ARRAY(list))
        return err_set(err, ERR_BAD_REQUEST, "nft-answer", "nft did not print a list of rules");
    JsonArray *array = json_node_get_array(list);
    for (guint i = 0; i < json_array_get_length(array); i++) {
        JsonNode *node = json_array_get_element(array, i);
        JsonObject *element = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
        JsonObject *chain = element ? object_in(element, "chain") : NULL;
        JsonObject *rule = element ? object_in(element, "rule") : NULL;
        JsonObject *either = chain ? chain : rule;
        if (!either)
            continue;
        const struct place place = {.family = model_text(either, "family"),
                                    .table = model_text(either, "table"),
                                    .chain = model_text(either, "chain"),
                                    .handle = model_int(either, "handle", 0),
                                    .firewall = firewall,
                                    .packet = packet};
        if (chain)
            read_chain(&place, chain);
        else
            read_rule(&place, rule);
    }
    return 0;
}
