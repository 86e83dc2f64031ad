/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers that ops.def names. Each is called with the checks of dispatch.c
 * done and r->view open until it returns; it answers the request once. */
#ifndef RINGKEEP_APPLIANCE_OPS_H
#define RINGKEEP_APPLIANCE_OPS_H

#include "appliance/request.h"

/* op_session.c */
void op_hello(struct request *r);
void op_slots(struct request *r);
void op_challenge(struct request *r);
void op_open(struct request *r);
void op_refresh(struct request *r);
void op_close(struct request *r);
void op_random(struct request *r);
/* op_login.c */
void op_login(struct request *r);
void op_password(struct request *r);
/* op_find.c */
void op_find(struct request *r);
/* op_operate.c: sign, verify, encrypt, decrypt */
void op_operate(struct request *r);
/* op_key.c */
void op_generate(struct request *r);
void op_import(struct request *r);
void op_create_public(struct request *r);
/* op_change.c */
void op_set_attributes(struct request *r);
void op_destroy(struct request *r);

/* Opens a new view for the later part of a handler, notes its index for the reply
 * and checks client and assignment once more. *out is closed by the caller. */
enum err op_view(struct request *r, const uint8_t keyring_id[ID_SIZE], struct store_view **out) MUST_USE;

#endif
