/* SPDX-License-Identifier: Apache-2.0 */
/* A disk and a network card, as virtio 0.9 has them behind I/O ports. One request at a time, nothing by
 * interrupt. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { record_bytes = 4096 };

enum virtio_disk_request { disk_read = 0, disk_write = 1, disk_flush = 4 };

/* False if the machine has none. */
bool virtio_disk_find(uint64_t *ret_bytes);
/* Begins a request for the record at that place; of a flush record and place say nothing. The record is the
 * device's until virtio_disk_poll says true. */
void virtio_disk_begin(enum virtio_disk_request request, uint64_t place, void *record);
/* True once, when the request is over; whether it went well. */
bool virtio_disk_poll(bool *ret_is_good);

bool virtio_net_find(void);
/* A small frame to all, with this number in it. False: the last one is still under way. */
bool virtio_net_send(uint64_t number);
