/* SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"
#include "machine.h"

enum { batch_pages = 16, max_catch_up_ms = 50 };

void worker_init(struct worker *worker, const struct params *params, uint64_t index, uint64_t tsc_hz)
{
    const uint64_t n_pages = params->mb << 8;
    *worker = (struct worker){.index = index, .n_vcpus = params->vcpus};
    worker->random = params->seed * 0x9e3779b97f4a7c15u + 88172645463325252u + index;
    worker->n_own = (n_pages - index + params->vcpus - 1) / params->vcpus;
    worker->read_only = params->read_only;
    worker->max_ticks = tsc_hz / 1000 * max_catch_up_ms;
    worker->write_gain = params->rate * 1000000;
    worker->write_price = page_bytes * params->vcpus * tsc_hz;
    worker->sweep_gain = worker->n_own * 1000;
    worker->sweep_price = params->sweep_ms * tsc_hz;
}

void worker_fill(struct worker *worker, struct pages *pages)
{
    for (uint64_t i = 0; i < worker->n_own; i++)
        pages_fill(pages, i * worker->n_vcpus + worker->index);
    worker->last_tsc = machine_tsc();
}

static void prove(struct worker *worker, struct pages *pages, uint64_t page, bool quick)
{
    struct pages_difference difference;
    if (pages_check(pages, page, quick, &difference))
        return;
    if (!worker->has_difference) {
        worker->difference = difference;
        worker->has_difference = true;
    }
    worker->n_bad++;
    pages_repair(pages, page);
}

static uint64_t next_random(struct worker *worker)
{
    worker->random ^= worker->random << 13;
    worker->random ^= worker->random >> 7;
    worker->random ^= worker->random << 17;
    return worker->random;
}

/* Pages that are due now, at most one batch; what cannot be done in max_catch_up_ms is forgotten, not caught
 * up. */
static unsigned take_due(uint64_t *credit, uint64_t earned, uint64_t max_credit, uint64_t price)
{
    *credit = earned > max_credit - *credit ? max_credit : *credit + earned;
    const uint64_t n = *credit / price < batch_pages ? *credit / price : batch_pages;
    *credit -= n * price;
    return (unsigned)n;
}

uint64_t worker_turn(struct worker *worker, struct pages *pages, bool *ret_busy)
{
    const uint64_t now = machine_tsc();
    const uint64_t elapsed = (int64_t)(now - worker->last_tsc) > 0 ? now - worker->last_tsc : 0;
    const uint64_t paid = elapsed < worker->max_ticks ? elapsed : worker->max_ticks;
    worker->last_tsc = now;
    if (elapsed > worker->max_gap)
        worker->max_gap = elapsed;

    unsigned n_writes = batch_pages;
    if (worker->write_gain)
        n_writes =
            take_due(&worker->write_credit, paid * worker->write_gain,
                     worker->max_ticks * worker->write_gain + worker->write_price, worker->write_price);
    for (unsigned i = 0; i < n_writes; i++) {
        const uint64_t page = next_random(worker) % worker->n_own * worker->n_vcpus + worker->index;
        prove(worker, pages, page, true);
        if (!worker->read_only)
            pages_rewrite(pages, page);
        worker->n_done++;
    }
    const unsigned n_checks =
        take_due(&worker->sweep_credit, paid * worker->sweep_gain,
                 worker->max_ticks * worker->sweep_gain + worker->sweep_price, worker->sweep_price);
    for (unsigned i = 0; i < n_checks; i++) {
        prove(worker, pages, worker->sweep_next * worker->n_vcpus + worker->index, false);
        if (++worker->sweep_next == worker->n_own) {
            worker->sweep_next = 0;
            worker->n_sweeps++;
        }
    }
    *ret_busy = n_writes || n_checks;
    return elapsed;
}
