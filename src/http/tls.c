/* SPDX-License-Identifier: Apache-2.0 */
#include "http/tls.h"

#include <glib.h>

void tls_init(void)
{
    static gsize is_done;
    if (!g_once_init_enter(&is_done))
        return;
    /* GLib has no call for this; its TLS module reads the variable once, at the first connection. */
    (void)g_setenv("G_TLS_GNUTLS_PRIORITY", "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2", TRUE);
    g_once_init_leave(&is_done, 1);
}
