/* SPDX-License-Identifier: Apache-2.0 */
/* JSON text in and out, and members of documents that a foreign program sent or a damaged file holds. Any
 * thread. */
#ifndef MODEL_JSON_H
#define MODEL_JSON_H

#include <json-glib/json-glib.h>
#include <stdbool.h>

struct err;

/* Parses text into an object; ERR_BAD_REQUEST with the parser's line and position. Transfer full. */
int model_parse(const char *text, gssize length, JsonObject **ret_object, struct err *err);
/* Compact text of an object; g_free. */
char *model_print(JsonObject *object, bool pretty);
/* The member if it is a text, else "": what a foreign program sends, or a damaged file holds. */
const char *model_text(JsonObject *object, const char *member);
/* In the same way a number, else `otherwise`, and a truth, else false: the library's own accessors take a
 * list or an object in its place for a programmer's mistake and say so on the standard error output. */
gint64 model_int(JsonObject *object, const char *member, gint64 otherwise);
double model_real(JsonObject *object, const char *member, double otherwise);
bool model_flag(JsonObject *object, const char *member);

#endif
