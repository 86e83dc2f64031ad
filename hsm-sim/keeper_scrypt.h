/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper process's executor for scrypt: LIMIT_SCRYPT_THREADS threads, a
 * bounded queue, completions through an eventfd. Unlike base/executor.h says of
 * one thread, two jobs may run at once; the keeper's jobs do not depend on each
 * other. Open before the sandbox is sealed: threads cannot be made after. */
#ifndef RINGKEEP_HSM_SIM_KEEPER_SCRYPT_H
#define RINGKEEP_HSM_SIM_KEEPER_SCRYPT_H

#include "base/executor.h"

struct keeper_scrypt;
enum err keeper_scrypt_open(struct keeper_scrypt **out) MUST_USE;
const struct executor *keeper_scrypt_executor(struct keeper_scrypt *x);
/* Readable when completions wait for keeper_scrypt_run, on the owner's thread. */
int keeper_scrypt_fd(const struct keeper_scrypt *x);
void keeper_scrypt_run(struct keeper_scrypt *x);
/* Lets running jobs end, drops none: their completions run. NULL is fine. */
void keeper_scrypt_close(struct keeper_scrypt *x);

#endif
