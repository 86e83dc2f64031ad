/* SPDX-License-Identifier: Apache-2.0 */
/* The error table: texts, names, classes, numbers from the wire. */
#include <criterion/criterion.h>

#include "base/err.h"

Test(err, every_number_has_a_name_and_a_text, .timeout = 20)
{
    for (unsigned i = 0; i < ERR_COUNT; i++) {
        cr_expect_str_neq(err_name((enum err)i), "UNKNOWN");
        cr_expect_str_neq(err_text((enum err)i), "unknown error");
        cr_expect_eq(err_from_wire(i), (enum err)i);
    }
}

Test(err, a_number_outside_the_table_is_a_broken_protocol, .timeout = 20)
{
    cr_expect_eq(err_from_wire(ERR_COUNT), ERR_PROTOCOL);
    cr_expect_eq(err_from_wire(0xffffffffu), ERR_PROTOCOL);
    cr_expect_str_eq(err_text((enum err)4711), "unknown error");
    cr_expect_str_eq(err_name((enum err)4711), "UNKNOWN");
    cr_expect_eq(err_class_of((enum err)4711), ERR_CLASS_CALLER);
}

Test(err, classes_and_numbers_stay, .timeout = 20)
{
    cr_expect_eq(ERR_OK, 0);
    cr_expect_eq(ERR_WRONG_STATE, 53);
    cr_expect_eq(ERR_INCARNATION, 60);
    cr_expect_str_eq(err_name(ERR_NOTFOUND), "NOTFOUND");
    cr_expect_eq(err_class_of(ERR_CORRUPT), ERR_CLASS_FATAL);
    cr_expect_eq(err_class_of(ERR_NOT_LEADER), ERR_CLASS_RETRY);
    cr_expect_eq(err_class_of(ERR_TICKET_EXPIRED), ERR_CLASS_LOGIN);
}
