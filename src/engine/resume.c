/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/resume.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bitmap.h"
#include "base/err.h"
#include "engine/link.h"
#include "wire/data.h"

#define PART_BYTES (WIRE_RESUME_PAGES_MAX / 8)

static int tell_part(struct link *link, const struct wire_resume *part, const struct bitmap *placed,
                     uint8_t *buffer, struct err *err)
{
    uint8_t head[WIRE_RESUME_SIZE];
    wire_resume_encode(part, head);
    wire_resume_put_pages(placed->words, part->first_page, part->n_pages, buffer);
    struct iovec parts[3] = {{0}, {head, sizeof head}, {buffer, (part->n_pages + 7) / 8}};
    return link_send(link, WIRE_RESUME, parts, 3, err);
}

int resume_tell(struct link *link, const struct resume *resume, const struct bitmap *placed, struct err *err)
{
    uint8_t *buffer = malloc(PART_BYTES);
    if (!buffer)
        return err_sys(err, ENOMEM, "no-memory", "no memory for a map of pages");
    int result = 0;
    for (uint64_t first = 0; result == 0 && first < placed->n_bits; first += WIRE_RESUME_PAGES_MAX) {
        uint64_t left = placed->n_bits - first;
        struct wire_resume part = {
            .round = resume->round,
            .n_pages = (uint32_t)(left < WIRE_RESUME_PAGES_MAX ? left : WIRE_RESUME_PAGES_MAX),
            .first_page = first,
            .n_wasted = first ? 0 : resume->n_wasted};
        result = tell_part(link, &part, placed, buffer, err);
    }
    free(buffer);
    return result;
}

static int hear_part(struct link *link, uint64_t first, struct bitmap *placed, uint8_t *buffer,
                     struct wire_resume *ret_part, struct err *err)
{
    uint8_t head[WIRE_RESUME_SIZE];
    struct wire_record record;
    if (link_receive_header(link, &record, err) < 0)
        return -1;
    if (record.type != WIRE_RESUME)
        return err_set(err, ERR_CORRUPT, "unexpected-record", "a %s record arrived where a RESUME was due",
                       wire_type_name(record.type));
    if (link_receive_told(link, head, sizeof head, err) < 0 ||
        wire_resume_decode(head, record.length, first, placed->n_bits, ret_part, err) < 0 ||
        link_receive_told(link, buffer, (ret_part->n_pages + 7) / 8, err) < 0 ||
        link_check_sum(link, err) < 0)
        return -1;
    wire_resume_get_pages(buffer, first, ret_part->n_pages, placed->words);
    return 0;
}

int resume_hear(struct link *link, struct resume *ret_resume, struct bitmap *ret_placed, struct err *err)
{
    uint8_t *buffer = malloc(PART_BYTES);
    if (!buffer)
        return err_sys(err, ENOMEM, "no-memory", "no memory for a map of pages");
    int result = 0;
    for (uint64_t first = 0; result == 0 && first < ret_placed->n_bits; first += WIRE_RESUME_PAGES_MAX) {
        struct wire_resume part;
        result = hear_part(link, first, ret_placed, buffer, &part, err);
        if (result == 0 && !first)
            *ret_resume = (struct resume){.round = part.round, .n_wasted = part.n_wasted};
        if (result == 0 && part.round != ret_resume->round)
            result = err_set(err, ERR_CORRUPT, "resume-round",
                             "the parts of a RESUME are of rounds %u and %u", ret_resume->round, part.round);
    }
    free(buffer);
    return result;
}
