/* SPDX-License-Identifier: Apache-2.0 */
/* A heap for libraft that hands out memory full of 0xa5: what it reads or sends
 * without having written it shows. */
#ifndef RINGKEEP_TESTS_RAFT_JUNK_H
#define RINGKEEP_TESTS_RAFT_JUNK_H

/* For the whole process, before the first use of libraft. */
void raft_junk_use(void);

#endif
