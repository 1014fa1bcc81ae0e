/* SPDX-License-Identifier: Apache-2.0 */
/* Takes what must not leave a machine out of a text: tokens, private keys, long hexadecimal digits (keys,
 * tickets, hashes), and the values of keys in configuration files that name a secret. Pure. */
#ifndef DOCTOR_SCRUB_H
#define DOCTOR_SCRUB_H

/* g_free. Not UTF-8 is made valid. */
char *scrub(const char *text);

#endif
