/* SPDX-License-Identifier: Apache-2.0 */
/* Private to http/. */
#ifndef HTTP_TLS_H
#define HTTP_TLS_H

/* Before the first connection of the process: nothing below TLS 1.2. Changes the environment. */
void tls_init(void);

#endif
