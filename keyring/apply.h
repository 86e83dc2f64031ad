/* SPDX-License-Identifier: Apache-2.0 */
/* One pure apply per command: a function of (state, command) only. No clock, no
 * chance, no cryptography. Every check stands before the first put. What it
 * refuses is a committed outcome; a local failure is never one (it is returned,
 * and the member stops). */
#ifndef RINGKEEP_KEYRING_APPLY_H
#define RINGKEEP_KEYRING_APPLY_H

#include "keyring/store.h"

#define COMMAND_VERSION 1u

/* What the proposer is told. The same for a request seen before. */
struct outcome {
    enum err error;  /* ERR_OK, or the refusal */
    uint64_t index;  /* of the command that made it (the first, for a repeat) */
    uint64_t number; /* by verb: first handle of created objects, version, ... */
    uint8_t object_ids[2][ID_SIZE];
    unsigned object_count;
};

/* Applies the packed Command at `index`. index <= the transaction's index: skipped
 * (ERR_EXISTS in nothing: returns ERR_OK and *skipped). Returns only local
 * failures: ERR_IO, ERR_NOMEM, ERR_VERSION (unknown version or verb), ERR_CORRUPT. */
enum err apply_command(struct store_txn *t,
                       uint64_t index,
                       struct bytes command,
                       struct outcome *out,
                       bool *skipped) MUST_USE;

/* Name of the verb inside a packed command, for logs. */
const char *apply_verb_name(struct bytes command);

#endif
