/* SPDX-License-Identifier: Apache-2.0 */
#include "model/rules.h"

#include <arpa/inet.h>
#include <string.h>

#include "model/pool.h"

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool is_one_line(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++)
        if (*at < 0x20 || *at == 0x7f)
            return false;
    return true;
}

static bool has_parent_segment(const char *path)
{
    for (const char *at = path; (at = strstr(at, "/..")); at += 3)
        if (at[3] == '/' || at[3] == '\0')
            return true;
    return false;
}

/* Commas are allowed: whoever writes a path into a QEMU option string doubles them. */
static bool is_path(const char *text)
{
    return text[0] == '/' && text[1] && is_one_line(text) && !has_parent_segment(text);
}

static bool is_file(const char *text)
{
    size_t length = strlen(text);
    return text[0] != '/' && text[length - 1] != '/' && is_one_line(text) && strcmp(text, "..") != 0 &&
           strncmp(text, "../", 3) != 0 && !has_parent_segment(text);
}

static bool is_qemu_word(const char *text)
{
    return text[strspn(text, DIGITS LETTERS "-_.")] == '\0' && text[0] != '-' && text[0] != '.';
}

static bool is_qemu_words(const char *text)
{
    return text[strspn(text, DIGITS LETTERS "-_. ")] == '\0';
}

static bool is_disk_format(const char *text)
{
    return !strcmp(text, "qcow2") || !strcmp(text, "raw");
}

static bool is_disk_bus(const char *text)
{
    return !strcmp(text, "virtio-blk") || !strcmp(text, "virtio-scsi");
}

static bool is_disk_media(const char *text)
{
    return !strcmp(text, "disk") || !strcmp(text, "cdrom");
}

static bool is_address(const char *text)
{
    struct in6_addr address;
    return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

static bool is_accel(const char *text)
{
    return !strcmp(text, "kvm") || !strcmp(text, "tcg");
}

static bool is_encryption_choice(const char *text)
{
    return !strcmp(text, "disabled") || !strcmp(text, "opportunistic") || !strcmp(text, "required");
}

static bool is_dirty_choice(const char *text)
{
    return !strcmp(text, "auto") || !strcmp(text, "async") || !strcmp(text, "sync");
}

static bool is_compression_choice(const char *text)
{
    return !strcmp(text, "auto") || !strcmp(text, "off") || !strcmp(text, "lz4") || !strcmp(text, "zstd");
}

static bool is_delta_choice(const char *text)
{
    return !strcmp(text, "on") || !strcmp(text, "off");
}

static bool is_mac(const char *text)
{
    if (strlen(text) != 17 || !strcmp(text, "00:00:00:00:00:00"))
        return false;
    for (int i = 0; i < 17; i++)
        if (i % 3 == 2 ? text[i] != ':' : !strchr(DIGITS "abcdef", text[i]))
            return false;
    /* The lowest bit of the first byte marks a group address. */
    return strchr("02468ace", text[1]) != NULL;
}

static bool is_pool_choice(const char *text)
{
    return pool_path_is_valid(pool_path_or_root(text));
}

static bool is_priority(const char *text)
{
    return !strcmp(text, "high") || !strcmp(text, "normal");
}

#define POOL_TEXT                                                                                            \
    "a resource pool: at most 8 names joined by '/', each of letters, digits, '-', '_' and '.', like "       \
    "prod/db"
#define NAME_TEXT "1 to 63 letters, digits, '-', '_' or '.', and must begin with a letter, a digit or '_'"
#define UUID_TEXT "a UUID in lower case, like 3f0c8a52-6b1d-4e7a-9c55-0d2f4b6a8c1e"
#define PATH_TEXT "an absolute path without '..' and without control characters"

const struct text_rule rule_name = {model_name_is_valid, NAME_TEXT, false};
const struct text_rule rule_uuid = {model_uuid_is_valid, UUID_TEXT, false};
const struct text_rule rule_uuid_or_empty = {model_uuid_is_valid, UUID_TEXT, true};
const struct text_rule rule_path = {is_path, PATH_TEXT, false};
const struct text_rule rule_path_or_empty = {is_path, PATH_TEXT ", or empty", true};
const struct text_rule rule_name_or_empty = {model_name_is_valid, NAME_TEXT ", or empty", true};
const struct text_rule rule_file_or_empty = {
    is_file,
    "a path below the datastore's folder, without '/' at its ends, '..' and control characters, or empty",
    true};
const struct text_rule rule_line = {is_one_line, "one line of text without control characters", true};
const struct text_rule rule_qemu_word = {
    is_qemu_word, "a name QEMU knows, of letters, digits, '-', '_' and '.', or empty", true};
const struct text_rule rule_qemu_words = {
    is_qemu_words,
    "names QEMU knows, of letters, digits, '-', '_' and '.', with spaces between them, or empty", true};
const struct text_rule rule_disk_format = {is_disk_format, "\"qcow2\" or \"raw\"", false};
const struct text_rule rule_disk_bus = {is_disk_bus, "\"virtio-blk\" or \"virtio-scsi\", or empty", true};
const struct text_rule rule_disk_media = {is_disk_media, "\"disk\" or \"cdrom\", or empty", true};
const struct text_rule rule_mac_or_empty = {
    is_mac, "a unicast MAC address like 52:54:00:12:34:56, or empty to get one", true};
const struct text_rule rule_address = {is_address, "a numeric IPv4 or IPv6 address", false};
const struct text_rule rule_accel_or_empty = {is_accel, "\"kvm\" or \"tcg\", or empty", true};
const struct text_rule rule_encryption_choice = {is_encryption_choice,
                                                 "\"disabled\", \"opportunistic\" or \"required\"", true};
const struct text_rule rule_dirty_choice = {is_dirty_choice, "\"auto\", \"async\" or \"sync\"", false};
const struct text_rule rule_compression_choice = {is_compression_choice,
                                                  "\"auto\", \"off\", \"lz4\" or \"zstd\"", true};
const struct text_rule rule_delta_choice = {is_delta_choice, "\"on\" or \"off\"", true};
const struct text_rule rule_priority = {is_priority, "\"high\" or \"normal\"", true};
const struct text_rule rule_pool_or_empty = {pool_path_is_valid, POOL_TEXT ", or empty", true};
const struct text_rule rule_pool_choice = {is_pool_choice, POOL_TEXT ", or \"/\" for none", true};
