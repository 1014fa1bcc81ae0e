/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every decoder of src/wire: what it takes is within the limits, and is written and read again equally. The
 * first byte chooses the structure; the rest are its bytes.
 */
#include <string.h>

#include "fuzz.h"
#include "wire/control.h"
#include "wire/data.h"
#include "wire/hello.h"
#include "wire/record.h"

#define LENGTH_MAX (WIRE_DEVICE_STATE_SIZE + WIRE_DEVICE_STATE_MAX)
#define EXTENTS 64

/* True if it was taken; a refusal must be a sound error. */
static bool taken(int result, const struct err *err)
{
    if (result == 0)
        return true;
    must(result == -1);
    must_be_sound(err);
    return false;
}

static void preamble(struct input *input)
{
    uint8_t bytes[WIRE_PREAMBLE_SIZE], again[WIRE_PREAMBLE_SIZE];
    struct wire_preamble read;
    struct err err;
    input_fill(input, bytes, sizeof bytes);
    if (!taken(wire_preamble_decode(bytes, &read, &err), &err))
        return;
    must(read.channel < wire_role_channels(read.role));
    must(read.security <= WIRE_SECURITY_TLS);
    wire_preamble_encode(&read, again);
    must(!memcmp(bytes, again, WIRE_PREAMBLE_SIZE - 14)); /* the last 14 are reserved, and ignored */
}

static void choose(const struct wire_hello *theirs)
{
    struct wire_hello ours = *theirs;
    struct wire_choice choice;
    struct err err;
    ours.version_min = WIRE_VERSION_MIN;
    ours.version_max = WIRE_VERSION_MAX;
    ours.features = WIRE_FEATURES;
    ours.required = WIRE_FEATURE_RAM_ROUNDS;
    ours.page_size = WIRE_PAGE_SIZE;
    ours.batch_max = WIRE_BATCH_BYTES_MAX;
    for (int is_source = 0; is_source < 2; is_source++) {
        if (!taken(is_source ? wire_hello_choose(theirs, &ours, &choice, &err)
                             : wire_hello_choose(&ours, theirs, &choice, &err),
                   &err))
            continue;
        must(choice.version >= WIRE_VERSION_MIN && choice.version <= WIRE_VERSION_MAX);
        must(!(choice.features & ~WIRE_FEATURES) && choice.features & WIRE_FEATURE_RAM_ROUNDS);
        must(!(theirs->required & ~choice.features));
        must(choice.n_channels && choice.n_channels <= WIRE_CHANNELS_MAX);
    }
}

static void hello(struct input *input)
{
    uint8_t once[WIRE_HELLO_SIZE], again[WIRE_HELLO_SIZE];
    struct wire_hello read, back;
    struct err err;
    if (!taken(wire_hello_decode(input->at, input->left, &read, &err), &err))
        return;
    must(input->left >= WIRE_HELLO_SIZE && input->left <= WIRE_HELLO_MAX);
    must(strlen(read.move_id) < WIRE_MOVE_ID_MAX && strlen(read.kernel) < WIRE_KERNEL_MAX);
    must(wire_hello_encode(&read, once, sizeof once - 1) == 0);
    must(wire_hello_encode(&read, once, sizeof once) == sizeof once);
    must(wire_hello_decode(once, sizeof once, &back, &err) == 0);
    must(wire_hello_encode(&back, again, sizeof again) == sizeof again);
    must(!memcmp(once, again, sizeof once));
    choose(&read);
}

static void header(struct input *input)
{
    uint8_t bytes[WIRE_RECORD_HEADER_SIZE], again[WIRE_RECORD_HEADER_SIZE];
    struct wire_record read = {0}, back;
    struct err err;
    bool is_made = input_number(input, 1) & 1; /* else its checksum can hardly be right */
    unsigned flipped = (unsigned)input_number(input, 1);
    read.seq = input_number(input, 1);
    input_fill(input, bytes, sizeof bytes);
    if (is_made) {
        struct input fields = {bytes, sizeof bytes};
        read.type = (uint32_t)input_number(&fields, 4);
        read.flags = (uint32_t)input_number(&fields, 4);
        read.length = input_number(&fields, 8);
        wire_record_encode(&read, bytes);
    }
    if (!taken(wire_record_decode(bytes, read.seq, &read, &err), &err))
        return;
    must(read.length <= LENGTH_MAX);
    must(read.known || (read.type & WIRE_RECORD_OPTIONAL && read.length <= WIRE_SKIP_MAX));
    must(read.known == (strcmp(wire_type_name(read.type), "unknown") != 0));
    wire_record_encode(&read, again);
    must(wire_record_decode(again, read.seq, &back, &err) == 0);
    must(back.type == read.type && back.flags == read.flags && back.length == read.length);
    must(wire_record_decode(again, read.seq + 1, &back, &err) < 0);
    /* Every single changed bit is noticed. */
    again[flipped / 8] = (uint8_t)(again[flipped / 8] ^ 1u << flipped % 8);
    must(wire_record_decode(again, read.seq, &back, &err) < 0);
}

static void list(struct input *input)
{
    uint8_t bytes[WIRE_LIST_SIZE], again[WIRE_LIST_SIZE];
    struct wire_list read;
    struct err err;
    uint64_t length = input_number(input, 8);
    input_fill(input, bytes, sizeof bytes);
    if (!taken(wire_list_decode(bytes, length, &read, &err), &err))
        return;
    must(length == WIRE_LIST_SIZE + (uint64_t)read.n_extents * WIRE_EXTENT_SIZE);
    must(read.n_extents <= WIRE_EXTENTS_MAX);
    wire_list_encode(&read, again);
    must(!memcmp(bytes, again, sizeof bytes));
}

static void pages(struct input *input)
{
    uint8_t bytes[WIRE_PAGES_SIZE], again[WIRE_PAGES_SIZE];
    struct wire_pages read;
    struct err err;
    uint64_t length = input_number(input, 8);
    input_fill(input, bytes, sizeof bytes);
    if (!taken(wire_pages_decode(bytes, length, &read, &err), &err))
        return;
    must(read.n_extents && read.n_extents <= WIRE_EXTENTS_MAX);
    must(read.n_bytes && read.n_bytes <= WIRE_BATCH_BYTES_MAX);
    must(length == WIRE_PAGES_SIZE + (uint64_t)read.n_extents * WIRE_EXTENT_SIZE + read.n_bytes);
    wire_pages_encode(&read, again);
    must(!memcmp(bytes, again, sizeof bytes));
}

static void packed(struct input *input)
{
    uint8_t bytes[WIRE_PACKED_SIZE], again[WIRE_PACKED_SIZE];
    struct wire_packed read;
    struct err err;
    struct wire_record record = {.type = input_number(input, 1) & 1 ? WIRE_DELTA : WIRE_PACKED};
    record.length = input_number(input, 8);
    input_fill(input, bytes, sizeof bytes);
    if (!taken(wire_packed_decode(bytes, &record, &read, &err), &err))
        return;
    must((read.codec == WIRE_CODEC_NONE) == (record.type == WIRE_DELTA) && read.codec <= WIRE_CODEC_ZSTD);
    must(read.n_extents && read.n_extents <= WIRE_EXTENTS_MAX);
    must(read.n_packed && read.n_packed < read.n_bytes && read.n_bytes <= WIRE_BATCH_BYTES_MAX);
    must(record.length == WIRE_PACKED_SIZE + (uint64_t)read.n_extents * WIRE_EXTENT_SIZE + read.n_packed);
    wire_packed_encode(&read, again);
    must(!memcmp(bytes, again, sizeof bytes));
}

static void extents(struct input *input)
{
    uint8_t bytes[EXTENTS * WIRE_EXTENT_SIZE], again[EXTENTS * WIRE_EXTENT_SIZE];
    struct wire_extent read[EXTENTS];
    struct err err;
    uint64_t total, sum = 0, end = 0;
    uint32_t n = (uint32_t)input_number(input, 1) % (EXTENTS + 1);
    uint64_t ram_size = input_number(input, 8);
    input_fill(input, bytes, sizeof bytes);
    if (!taken(wire_extents_decode(bytes, n, ram_size, read, &total, &err), &err))
        return;
    for (uint32_t i = 0; i < n; i++) {
        must(read[i].length && read[i].offset >= end);
        must(read[i].offset % WIRE_PAGE_SIZE == 0 && read[i].length % WIRE_PAGE_SIZE == 0);
        must(read[i].length <= ram_size && read[i].offset <= ram_size - read[i].length);
        end = read[i].offset + read[i].length;
        sum += read[i].length;
    }
    must(total == sum && total <= ram_size);
    wire_extents_encode(read, n, again);
    must(!memcmp(bytes, again, n * WIRE_EXTENT_SIZE));
}

/* SYNC is taken as it is; its second number is not used. */
static void sync_and_ack(struct input *input)
{
    uint8_t bytes[WIRE_ACK_SIZE], again[WIRE_ACK_SIZE];
    struct wire_sync sync, sync_back;
    struct wire_ack ack;
    struct err err;
    input_fill(input, bytes, sizeof bytes);
    wire_sync_decode(bytes, &sync);
    wire_sync_encode(&sync, again);
    wire_sync_decode(again, &sync_back);
    must(sync.round == sync_back.round && sync.n_records == sync_back.n_records &&
         sync.n_bytes == sync_back.n_bytes);
    if (!taken(wire_ack_decode(bytes, &ack, &err), &err))
        return;
    must(ack.verdict >= WIRE_VERDICT_PLACED && ack.verdict <= WIRE_VERDICT_DIFFERS);
    wire_ack_encode(&ack, again);
    must(!memcmp(bytes, again, sizeof bytes));
}

static void verify(struct input *input)
{
    uint8_t bytes[WIRE_VERIFY_SIZE], begin_bytes[WIRE_VERIFY_BEGIN_SIZE];
    struct wire_verify_begin begin;
    struct wire_verify read;
    struct err err;
    uint64_t length = input_number(input, 8), total = input_number(input, 8);
    input_fill(input, bytes, sizeof bytes);
    memcpy(begin_bytes, bytes, sizeof begin_bytes);
    if (taken(wire_verify_begin_decode(begin_bytes, &begin, &err), &err))
        must(begin.part_bytes == WIRE_PART_BYTES);
    if (!taken(wire_verify_decode(bytes, length, total, &read, &err), &err))
        return;
    must(read.n_parts && read.n_parts <= WIRE_HASHES_MAX);
    must(read.n_parts <= total && read.first_part <= total - read.n_parts);
    must(length == WIRE_VERIFY_SIZE + (uint64_t)read.n_parts * WIRE_HASH_SIZE);
}

static void resume(struct input *input)
{
    uint8_t bytes[WIRE_RESUME_SIZE], again[WIRE_RESUME_SIZE];
    struct wire_resume read;
    struct err err;
    uint64_t length = input_number(input, 8), total = input_number(input, 8);
    uint64_t first = total ? input_number(input, 8) % total : 0;
    input_fill(input, bytes, sizeof bytes);
    if (!taken(wire_resume_decode(bytes, length, first, total, &read, &err), &err))
        return;
    must(read.n_pages <= WIRE_RESUME_PAGES_MAX && read.n_pages <= total - first);
    must(read.first_page == first && length == WIRE_RESUME_SIZE + ((uint64_t)read.n_pages + 7) / 8);
    wire_resume_encode(&read, again);
    must(!memcmp(bytes, again, sizeof bytes));
}

static void must_be_printable(const char *text)
{
    for (; *text; text++)
        must((unsigned char)*text >= ' ' && *text != 0x7f);
}

static void error(struct input *input)
{
    uint8_t once[WIRE_ERROR_MAX], again[WIRE_ERROR_MAX];
    struct err read, back, err;
    if (!taken(wire_error_decode(input->at, input->left, &read, &err), &err))
        return;
    must_be_sound(&read);
    must_be_printable(read.id);
    must_be_printable(read.phase);
    must_be_printable(read.side);
    must_be_printable(read.message);
    must_be_printable(read.cause);
    must_be_printable(read.fix);
    for (unsigned i = 0; i < read.n_args; i++)
        must_be_printable(read.args[i].value);
    size_t size = wire_error_encode(&read, once, sizeof once);
    must(size >= WIRE_ERROR_MIN);
    must(wire_error_decode(once, size, &back, &err) == 0);
    must(wire_error_encode(&back, again, sizeof again) == size && !memcmp(once, again, size));
}

static void device_state(struct input *input)
{
    uint8_t bytes[WIRE_DEVICE_STATE_SIZE], again[WIRE_DEVICE_STATE_SIZE];
    struct wire_device_state read;
    struct err err;
    uint64_t length = input_number(input, 8);
    input_fill(input, bytes, sizeof bytes);
    if (!taken(wire_device_state_decode(bytes, length, &read, &err), &err))
        return;
    must(read.length <= WIRE_DEVICE_STATE_MAX && length == WIRE_DEVICE_STATE_SIZE + read.length);
    wire_device_state_encode(&read, again);
    must(!memcmp(bytes, again, sizeof bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const parts[])(struct input *) = {preamble, hello,  header,  list,
                                                    pages,    packed, extents, sync_and_ack,
                                                    verify,   resume, error,   device_state};
    struct input input = {data, size};
    parts[input_number(&input, 1) % (sizeof parts / sizeof parts[0])](&input);
    return 0;
}
