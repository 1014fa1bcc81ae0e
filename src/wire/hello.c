/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/hello.h"

#include <string.h>

#include "base/err.h"
#include "wire/codec.h"
#include "wire/data.h"

size_t wire_hello_encode(const struct wire_hello *hello, uint8_t *ret_bytes, size_t size)
{
    struct wire_writer writer = {.at = ret_bytes, .left = size};
    wire_put_u16(&writer, hello->version_min);
    wire_put_u16(&writer, hello->version_max);
    wire_put_u32(&writer, hello->n_channels);
    wire_put_u64(&writer, hello->features);
    wire_put_u64(&writer, hello->required);
    wire_put_u64(&writer, hello->ram_size);
    wire_put_u32(&writer, hello->page_size);
    wire_put_u32(&writer, hello->host_page_size);
    wire_put_u64(&writer, hello->epoch);
    wire_put_u64(&writer, (uint64_t)hello->wall_ms);
    wire_put_u64(&writer, hello->batch_max);
    wire_put_zeros(&writer, 16);
    wire_put_bytes(&writer, hello->move_id, sizeof hello->move_id);
    wire_put_bytes(&writer, hello->kernel, sizeof hello->kernel);
    return writer.failed ? 0 : size - writer.left;
}

int wire_hello_decode(const uint8_t *bytes, size_t size, struct wire_hello *ret_hello, struct err *err)
{
    struct wire_reader reader = {.at = bytes, .left = size};
    ret_hello->version_min = wire_get_u16(&reader);
    ret_hello->version_max = wire_get_u16(&reader);
    ret_hello->n_channels = wire_get_u32(&reader);
    ret_hello->features = wire_get_u64(&reader);
    ret_hello->required = wire_get_u64(&reader);
    ret_hello->ram_size = wire_get_u64(&reader);
    ret_hello->page_size = wire_get_u32(&reader);
    ret_hello->host_page_size = wire_get_u32(&reader);
    ret_hello->epoch = wire_get_u64(&reader);
    ret_hello->wall_ms = (int64_t)wire_get_u64(&reader);
    ret_hello->batch_max = wire_get_u64(&reader);
    wire_skip(&reader, 16);
    wire_get_bytes(&reader, ret_hello->move_id, sizeof ret_hello->move_id);
    wire_get_bytes(&reader, ret_hello->kernel, sizeof ret_hello->kernel);
    if (reader.failed || size > WIRE_HELLO_MAX)
        return err_set(err, ERR_CORRUPT, "hello-length", "a HELLO of %zu bytes arrived", size);
    if (!memchr(ret_hello->move_id, '\0', sizeof ret_hello->move_id) ||
        !memchr(ret_hello->kernel, '\0', sizeof ret_hello->kernel))
        return err_set(err, ERR_CORRUPT, "hello-text", "a text in the HELLO does not end");
    return 0;
}

static int check_same_move(const struct wire_hello *source, const struct wire_hello *destination,
                           struct err *err)
{
    if (strcmp(source->move_id, destination->move_id))
        return err_set(err, ERR_REFUSED, "hello-move", "the two sides work for different moves");
    if (source->epoch != destination->epoch)
        return err_set(err, ERR_REFUSED, "hello-epoch",
                       "the source is in epoch %llu, the destination in %llu",
                       (unsigned long long)source->epoch, (unsigned long long)destination->epoch);
    if (source->ram_size != destination->ram_size)
        return err_set(err, ERR_REFUSED, "hello-ram-size",
                       "the VM has %llu bytes of RAM on the source and %llu on the destination",
                       (unsigned long long)source->ram_size, (unsigned long long)destination->ram_size);
    if (source->page_size != destination->page_size || !source->page_size ||
        source->ram_size % source->page_size)
        return err_set(err, ERR_REFUSED, "hello-page-size",
                       "the page size is %u on the source and %u on the destination", source->page_size,
                       destination->page_size);
    return 0;
}

int wire_hello_choose(const struct wire_hello *source, const struct wire_hello *destination,
                      struct wire_choice *ret_choice, struct err *err)
{
    uint16_t low =
        source->version_min > destination->version_min ? source->version_min : destination->version_min;
    uint16_t high =
        source->version_max < destination->version_max ? source->version_max : destination->version_max;
    if (low > high)
        return err_set(err, ERR_REFUSED, "hello-version",
                       "no common protocol version: source %u to %u, destination %u to %u",
                       source->version_min, source->version_max, destination->version_min,
                       destination->version_max);
    uint64_t features = source->features & destination->features;
    uint64_t missing = (source->required | destination->required) & ~features;
    if (missing)
        return err_set(err, ERR_REFUSED, "hello-features",
                       "the features 0x%llx are required by one side and unknown to the other",
                       (unsigned long long)missing);
    if (check_same_move(source, destination, err) < 0)
        return -1;
    if (!source->n_channels || source->n_channels > WIRE_CHANNELS_MAX)
        return err_set(err, ERR_REFUSED, "hello-channels", "the source announces %u data channels",
                       source->n_channels);
    if (destination->batch_max < WIRE_BATCH_BYTES_MAX)
        return err_set(err, ERR_REFUSED, "hello-batch",
                       "the destination takes batches of %llu bytes, %u are needed",
                       (unsigned long long)destination->batch_max, WIRE_BATCH_BYTES_MAX);
    *ret_choice =
        (struct wire_choice){.version = high, .features = features, .n_channels = source->n_channels};
    return 0;
}
