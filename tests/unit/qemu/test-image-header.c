/* SPDX-License-Identifier: Apache-2.0 */
/* Headers as qemu-img writes them, and what somebody else may have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "qemu/image_header.h"

static char *folder;

static int set_up(void **state)
{
    (void)state;
    folder = g_dir_make_tmp("image-XXXXXX", NULL);
    return folder ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    g_autofree char *command = g_strdup_printf("rm -r %s", folder);
    g_free(folder);
    return system(command);
}

/* What qemu-img makes of `arguments`, in the folder; `ret_size` bytes, g_free. */
static char *make(const char *arguments, gsize *ret_size)
{
    g_autofree char *command =
        g_strdup_printf("cd %s && qemu-img create -q %s >/dev/null", folder, arguments);
    g_autofree char *path = g_strdup_printf("%s/image", folder);
    char *bytes = NULL;
    assert_int_equal(system(command), 0);
    assert_true(g_file_get_contents(path, &bytes, ret_size, NULL));
    return bytes;
}

static struct image_header header_of(const char *arguments)
{
    gsize size;
    g_autofree char *bytes = make(arguments, &size);
    struct image_header header;
    image_header_read((const uint8_t *)bytes, MIN(size, IMAGE_HEADER_BYTES), &header);
    return header;
}

static void size_and_backing_file_are_those_of_qemu_img(void **state)
{
    (void)state;
    struct image_header header = header_of("-f qcow2 image 24M");
    assert_true(header.is_qcow2 && !header.is_damaged && header.size == 24u << 20);
    assert_string_equal(header.backing, "");
    header = header_of("-f qcow2 -u -b ../base,1.raw -F raw image 8M");
    assert_string_equal(header.backing, "../base,1.raw");
    assert_string_equal(header.backing_format, "raw");
    header = header_of("-f qcow2 -o compat=0.10 -u -b base -F qcow2 image 8M");
    assert_true(header.is_qcow2 && !header.is_damaged);
    assert_string_equal(header.backing, "base");
    assert_string_equal(header.backing_format, "qcow2");
    assert_true(header_of("-f qcow2 -o data_file=data image 8M").has_data_file);
}

static void what_is_not_qcow2_is_left_alone(void **state)
{
    (void)state;
    assert_false(header_of("-f raw image 1M").is_qcow2);
    struct image_header header;
    image_header_read((const uint8_t *)"", 0, &header);
    assert_false(header.is_qcow2);
}

/* Whatever a byte says, nothing beyond the end is read (the sanitizers see that). */
static void a_damaged_header_harms_nothing(void **state)
{
    (void)state;
    gsize size;
    g_autofree char *bytes = make("-f qcow2 -u -b base -F raw image 1M", &size);
    struct image_header header;
    for (size_t cut = 4; cut < 300; cut++) {
        g_autofree uint8_t *part = g_memdup2(bytes, cut);
        image_header_read(part, cut, &header);
        assert_true(header.is_qcow2);
        assert_true(cut > 104 || header.is_damaged || !header.backing[0]);
    }
    for (size_t at = 4; at < 300; at++) {
        g_autofree uint8_t *changed = g_memdup2(bytes, size);
        changed[at] = 0xff;
        image_header_read(changed, MIN(size, IMAGE_HEADER_BYTES), &header);
        assert_true(header.is_qcow2 && memchr(header.backing, '\0', sizeof header.backing));
    }
    bytes[16] = 0x7f; /* the length of the backing file's name */
    image_header_read((const uint8_t *)bytes, MIN(size, IMAGE_HEADER_BYTES), &header);
    assert_true(header.is_damaged);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(size_and_backing_file_are_those_of_qemu_img),
        cmocka_unit_test(what_is_not_qcow2_is_left_alone),
        cmocka_unit_test(a_damaged_header_harms_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
