/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is set for all hosts together: the CPU baseline, as EVC has it. Kept in the database; each host is
 * told and keeps it too (agent/cpu_baseline.h), so that it holds for each start there. VMs that run with more
 * are named and left alone: they lose it with their next power cycle. Main-loop thread.
 */
#ifndef MANAGER_CLUSTER_H
#define MANAGER_CLUSTER_H

#include "http/http.h"
#include "manager/inventory.h"

/* What people and programs write where there is no baseline. */
#define CPU_BASELINE_NONE "none"

int cluster_open(struct manager *manager, struct err *err);
void cluster_free(struct cluster *cluster);
/* "": none. */
const char *cluster_cpu_baseline(const struct manager *manager);
/* Settings, what each host makes of them, and which VMs have more. Transfer full. */
JsonObject *cluster_json(struct manager *manager);
/* Asks each connected host whether it can provide the model ("": none), stores it, tells them, and answers
 * the request with cluster_json; REFUSED "cpu-baseline-refused" if one cannot, with all of them beside
 * it. */
void cluster_set_cpu_baseline(struct manager *manager, struct http_request *request, const char *model);

/* After a host has answered: tells it what it does not know yet. */
void cluster_work(struct host *host);
/* A host's facts are new; host->facts are still the old ones. */
void cluster_look(const struct host *host, const struct host_facts *facts);
/* Why a VM that is off cannot start there because of the baseline; RETRY "cpu-baseline-untold" for a host
 * that has just come. */
int cluster_check_start(const struct host *host, const char *vm, struct err *err);
/* Why a host cannot provide the baseline, by its facts; "" if it can. */
void cluster_problem(const char *baseline, const struct host_facts *facts, char ret_problem[ERR_TEXT_MAX]);

#endif
