/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <gio/gunixsocketaddress.h>
#include <glib-unix.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "base/log.h"
#include "http/server.h"

void unix_socket_clear(struct unix_socket *unix_socket)
{
    struct stat found;
    if (!lstat(unix_socket->path, &found) && found.st_dev == unix_socket->device &&
        found.st_ino == unix_socket->inode)
        (void)unlink(unix_socket->path);
    g_free(unix_socket->path);
}

static int listen_failed(struct err *err, const char *where, const GError *error)
{
    (void)err_set(err, ERR_INTERNAL, "listen-failed", "cannot listen on %s", where);
    (void)err_arg(err, "path", "%s", where);
    (void)err_cause(err, "%s", error->message);
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE))
        return err_fix(err, "stop the program that uses it, or choose another");
    return -1;
}

/* Binds and listens; `mode` other than 0 becomes the mode of a unix socket's file. Transfer full, NULL on
 * failure. */
static GSocket *socket_listen(GSocketAddress *address, mode_t mode, GError **error)
{
    g_autoptr(GSocket) socket = g_socket_new(g_socket_address_get_family(address), G_SOCKET_TYPE_STREAM,
                                             G_SOCKET_PROTOCOL_DEFAULT, error);
    if (!socket)
        return NULL;
    /* The file gets the socket's mode when it is bound: there is no moment at which others may connect. */
    if (mode && fchmod(g_socket_get_fd(socket), mode)) {
        int errnum = errno;
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errnum), "fchmod: %s", g_strerror(errnum));
        return NULL;
    }
    g_socket_set_listen_backlog(socket, 128);
    if (!g_socket_bind(socket, address, TRUE, error) || !g_socket_listen(socket, error))
        return NULL;
    return g_steal_pointer(&socket);
}

/* After a failure that lasts, as when hardly a descriptor is left: the client waits in the kernel. */
#define REST_MS 500

struct listener {
    struct http_server *server;
    GSocket *socket;
    bool is_tls;
    guint source; /* waits for a client, or rests */
};

static void await_client(struct listener *listener);

static gboolean rested(gpointer user)
{
    await_client(user);
    return G_SOURCE_REMOVE;
}

static gboolean rest(struct listener *listener, const char *why)
{
    log_warn("a client cannot be let in: %s", why);
    listener->source = g_timeout_add(REST_MS, rested, listener);
    return G_SOURCE_REMOVE;
}

static gboolean on_client(gint fd, GIOCondition condition, gpointer user)
{
    (void)fd, (void)condition;
    struct listener *listener = user;
    g_autoptr(GError) error = NULL;
    if (!descriptors_are_left())
        return rest(listener, g_strerror(EMFILE));
    g_autoptr(GSocket) client = g_socket_accept(listener->socket, NULL, &error);
    if (client) {
        connections_take(&listener->server->connections, client,
                         listener->is_tls ? listener->server->config.certificate : NULL);
        return G_SOURCE_CONTINUE;
    }
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        return G_SOURCE_CONTINUE;
    return rest(listener, error->message);
}

static void await_client(struct listener *listener)
{
    listener->source = g_unix_fd_add(g_socket_get_fd(listener->socket), G_IO_IN, on_client, listener);
}

void server_accept_from(struct http_server *server, GSocket *socket, bool is_tls)
{
    struct listener *listener = g_new0(struct listener, 1);
    listener->server = server;
    listener->socket = g_object_ref(socket);
    listener->is_tls = is_tls;
    g_socket_set_blocking(socket, FALSE);
    g_ptr_array_add(server->listeners, listener);
    await_client(listener);
}

void listener_free(gpointer data)
{
    struct listener *listener = data;
    (void)g_source_remove(listener->source);
    (void)g_socket_close(listener->socket, NULL);
    g_object_unref(listener->socket);
    g_free(listener);
}

int http_server_listen(struct http_server *server, const char *address, uint16_t port, uint16_t *ret_port,
                       struct err *err)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *where = g_strdup_printf("%s port %u", address, port);
    if (!server->config.certificate) {
        (void)err_set(err, ERR_INTERNAL, "listen-without-certificate",
                      "cannot listen on %s: the server has no certificate", where);
        return err_arg(err, "path", "%s", where);
    }
    g_autoptr(GSocketAddress) wanted = g_inet_socket_address_new_from_string(address, port);
    if (!wanted) {
        (void)err_set(err, ERR_BAD_REQUEST, "address-invalid",
                      "\"%s\" must be a numeric IPv4 or IPv6 address", address);
        return err_arg(err, "address", "%s", address);
    }
    g_autoptr(GSocket) socket = socket_listen(wanted, 0, &error);
    g_autoptr(GSocketAddress) bound = socket ? g_socket_get_local_address(socket, &error) : NULL;
    if (!bound)
        return listen_failed(err, where, error);
    server_accept_from(server, socket, true);
    if (ret_port)
        *ret_port = g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(bound));
    return 0;
}

/* Removes a socket nobody listens on any more. */
static int remove_stale(const char *path, GSocketAddress *address, struct err *err)
{
    struct stat found;
    if (lstat(path, &found)) {
        if (errno == ENOENT)
            return 0;
        (void)err_sys(err, errno, "listen-failed", "cannot listen on %s", path);
        return err_arg(err, "path", "%s", path);
    }
    if (!S_ISSOCK(found.st_mode)) {
        (void)err_set(err, ERR_BAD_REQUEST, "listen-failed", "%s exists and is not a socket", path);
        return err_arg(err, "path", "%s", path);
    }
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketConnection) connection =
        g_socket_client_connect(client, G_SOCKET_CONNECTABLE(address), NULL, NULL);
    if (connection) {
        (void)err_set(err, ERR_REFUSED, "listen-failed", "another program listens on %s", path);
        (void)err_arg(err, "path", "%s", path);
        return err_fix(err, "stop it, or choose another path");
    }
    if (unlink(path)) {
        (void)err_sys(err, errno, "listen-failed", "cannot remove the old socket %s", path);
        return err_arg(err, "path", "%s", path);
    }
    return 0;
}

int http_server_listen_unix(struct http_server *server, const char *path, struct err *err)
{
    g_autoptr(GError) error = NULL;
    struct sockaddr_un limit;
    if (strlen(path) >= sizeof limit.sun_path) {
        (void)err_set(err, ERR_BAD_REQUEST, "listen-failed",
                      "the socket's path must be at most %zu bytes long: %s", sizeof limit.sun_path - 1,
                      path);
        (void)err_arg(err, "max", "%zu", sizeof limit.sun_path - 1);
        return err_arg(err, "path", "%s", path);
    }
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    if (remove_stale(path, address, err))
        return -1;
    g_autoptr(GSocket) socket = socket_listen(address, 0600, &error);
    if (!socket)
        return listen_failed(err, path, error);
    struct stat made;
    if (lstat(path, &made)) {
        (void)err_sys(err, errno, "listen-failed", "cannot listen on %s", path);
        return err_arg(err, "path", "%s", path);
    }
    struct unix_socket entry = {g_strdup(path), made.st_dev, made.st_ino};
    g_array_append_val(server->unix_sockets, entry);
    server_accept_from(server, socket, false);
    return 0;
}
