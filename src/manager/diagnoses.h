/* SPDX-License-Identifier: Apache-2.0 */
/* The way between two hosts, measured by both and judged. */
#ifndef MANAGER_DIAGNOSES_H
#define MANAGER_DIAGNOSES_H

#include "http/http.h"
#include "manager/inventory.h"

/* Answers the request, after 40 s at the latest. */
void diagnoses_answer(struct manager *manager, struct http_request *request, struct host *from,
                      const struct host *to);

#endif
