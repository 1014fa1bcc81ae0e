/* SPDX-License-Identifier: Apache-2.0 */
/* Private to model/: what a text field may hold, and the words that say so. */
#ifndef MODEL_RULES_H
#define MODEL_RULES_H

#include <stdbool.h>

struct text_rule {
    bool (*is_valid)(const char *text);
    const char *must; /* completes "FIELD must be ..." */
    bool may_be_empty;
};

extern const struct text_rule rule_name;
extern const struct text_rule rule_uuid;
extern const struct text_rule rule_uuid_or_empty;
extern const struct text_rule rule_path; /* absolute, no "..", no control characters */
extern const struct text_rule rule_path_or_empty;
extern const struct text_rule rule_name_or_empty;
extern const struct text_rule rule_file_or_empty; /* a relative path, the rest as rule_path */
extern const struct text_rule rule_line;          /* any text without control characters, or empty */
extern const struct text_rule rule_qemu_words;    /* several, one space between two, or empty */
extern const struct text_rule rule_qemu_word;     /* a machine type or CPU model, or empty: no commas */
extern const struct text_rule rule_disk_format;
extern const struct text_rule rule_disk_bus;   /* or empty */
extern const struct text_rule rule_disk_media; /* or empty */
extern const struct text_rule rule_mac_or_empty;
extern const struct text_rule rule_address;        /* numeric IPv4 or IPv6 */
extern const struct text_rule rule_accel_or_empty; /* "kvm" or "tcg": what something runs on */
extern const struct text_rule rule_dirty_choice;
extern const struct text_rule rule_encryption_choice;
extern const struct text_rule rule_compression_choice; /* or empty */
extern const struct text_rule rule_delta_choice;       /* or empty */
extern const struct text_rule rule_priority;
extern const struct text_rule rule_pool_or_empty; /* "prod/db" */
extern const struct text_rule rule_pool_choice;   /* the same, or "/" for the root */

#endif
