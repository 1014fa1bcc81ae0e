/* SPDX-License-Identifier: Apache-2.0 */
/* What a client asks of the history, out of the query of its request. Each value that cannot be meant is
 * refused (BAD_REQUEST "query") with the field's name and what it may be; so is a field that there is not. */
#ifndef MANAGER_FILTERS_H
#define MANAGER_FILTERS_H

#include "http/http.h"
#include "store/db.h"

/* `is_stream`: it goes on with what happens, so that fields which bound it at the end have no sense. */
int filters_read_events(struct http_request *request, bool is_stream, struct db_event_filter *ret_filter,
                        struct err *err);
int filters_read_tasks(struct http_request *request, struct db_task_filter *ret_filter, struct err *err);

#endif
