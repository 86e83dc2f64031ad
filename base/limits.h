/* SPDX-License-Identifier: Apache-2.0 */
/* Every bound of the system, in one place: sizes in bytes, times with their
 * unit, counts without. A queue, size or wait that is not bounded here is a
 * mistake. */
#ifndef RINGKEEP_BASE_LIMITS_H
#define RINGKEEP_BASE_LIMITS_H

/* Objects (crypto-spec section 2) */
#define LIMIT_BLOB 65536u
#define LIMIT_RECORD 4096u
#define LIMIT_ROSTER_ROWS 32u
#define LIMIT_ROSTER (56u + LIMIT_ROSTER_ROWS * 120u + 40u)
#define LIMIT_ATTRIBUTES 64u
#define LIMIT_TEMPLATE 49152u
#define LIMIT_IMPORT_MATERIAL 16384u
#define LIMIT_PASSWORD 255u
#define LIMIT_PASSWORD_MIN 8u
#define LIMIT_DATA 65536u /* one piece of data to sign or encrypt */
#define LIMIT_LABEL 32u
#define LIMIT_NAME 64u
#define LIMIT_OBJECTS_PER_COMMAND 2u

/* The cluster */
#define LIMIT_MEMBERS 32u
#define LIMIT_VOTERS 9u
#define LIMIT_KEYRINGS 3500u
#define LIMIT_CLIENTS 10000u
#define LIMIT_ASSIGNMENTS_PER_CLIENT 3500u
#define LIMIT_OBJECTS_PER_KEYRING 1000000u
#define LIMIT_INVITES 64u
#define LIMIT_OUTCOME_WINDOW 1000000u /* consistency.md 7: W */
#define LIMIT_RESERVATIONS 64u
#define LIMIT_ADDRESS 64u /* "a.b.c.d:port" with its zero */

/* Frames (conventions.md) */
#define LIMIT_FRAME_UNAUTHENTICATED 4096u
#define LIMIT_FRAME_CLIENT 131072u
#define LIMIT_FRAME_PEER 1048576u
#define LIMIT_FRAME_ADMIN 131072u
#define LIMIT_COMMAND 262144u /* one encoded command of the replicated log */

/* Connections and queues */
#define LIMIT_CLIENT_CONNECTIONS 4096u
#define LIMIT_ADMIN_CONNECTIONS 32u
#define LIMIT_JOIN_CONNECTIONS 8u
#define LIMIT_PEER_CONNECTIONS 128u
#define LIMIT_REQUESTS_PER_CONNECTION 64u
#define LIMIT_SEND_QUEUE (4u * 1024u * 1024u)        /* bytes waiting on one connection */
#define LIMIT_PEER_SEND_QUEUE 16777216u
#define LIMIT_PROPOSALS 4096u                      /* proposed, not yet applied */
#define LIMIT_PROPOSAL_BATCH 1024u
#define LIMIT_PROPOSAL_BATCH_SIZE 1048576u /* bytes of one raft append or message */
#define LIMIT_RAFT_BATCHES 8u                     /* appended, not yet committed */
#define LIMIT_RAFT_MESSAGE_ENTRIES 256u           /* entries in one AppendEntries */
#define LIMIT_INDEX_WAITERS 4096u
#define LIMIT_RAFT_LOG_ENTRIES 1000000u /* until manifest snapshots exist */
#define LIMIT_GROUP_COMMIT_ENTRIES 2000u
#define LIMIT_GROUP_COMMIT_MS 50u
#define LIMIT_APPLY_QUEUE 33554432u
#define LIMIT_FIND_ROWS 64u   /* rows in one FIND reply */
#define LIMIT_CATALOGUE (256u * 1024u * 1024u)
#define LIMIT_QUARANTINE 256u /* request hashes refused after a worker's death */
#define LIMIT_SESSIONS_PER_CONNECTION 256u
#define LIMIT_LOGIN_WAITING 256u     /* logins that wait for their turn at one member */
#define LIMIT_FIND_IN_FLIGHT 32u     /* attribute calls of one FIND in the core */
#define LIMIT_FIND_SCAN 2048u        /* rows looked at in one turn of the loop */
#define LIMIT_CATALOGUE_IDLE_S 900u

/* The core */
#define LIMIT_HANDLES 65536u
#define LIMIT_WORKERS 16u
#define LIMIT_KEY_CACHE 256u      /* keyring contexts per worker */
#define LIMIT_KEY_CHECK_MS 1000u  /* a cached keyring context is asked for anew */
#define LIMIT_CHALLENGES 1024u
#define LIMIT_CHALLENGE_S 60u
#define LIMIT_SCRYPT_THREADS 2u
#define LIMIT_SCRYPT_QUEUE 64u
#define LIMIT_KEEPER_FRAME 16384u
#define LIMIT_KEYRING_FLOORS 4096u
#define LIMIT_CLONE_RUNS 8u
#define LIMIT_CLONE_S 30u
#define LIMIT_LOGIN_AGE_S 30u
#define LIMIT_RESERVATION_S 60u
#define LIMIT_MAX_FAIL 10u
#define LIMIT_MAX_FAIL_SO 3u
#define LIMIT_TICKET_S (12u * 3600u)
#define LIMIT_INVITE_S (24u * 3600u)
#define LIMIT_INHERIT_WINDOW_S (2u * 3600u)
#define LIMIT_BEACON_S 600u
#define LIMIT_CERT_SERVER_DAYS 7u
#define LIMIT_CERT_CLIENT_DAYS 825u
#define LIMIT_CERT_CA_DAYS 3650u

/* The ring between daemon and worker (conventions.md) */
#define LIMIT_RING_SMALL_SLOTS 256u
#define LIMIT_RING_SMALL 4096u
#define LIMIT_RING_LARGE_SLOTS 8u
#define LIMIT_RING_LARGE 131072u
#define LIMIT_RING_WAIT_MS 50u
#define LIMIT_CORE_WAITING 4096u   /* calls of one daemon that wait for a slot */
#define LIMIT_QUARANTINE_MS 60000u /* how long a request that ended a worker is refused */

/* Times, milliseconds */
#define LIMIT_CONNECT_MS 2000u
#define LIMIT_REQUEST_MS 5000u
#define LIMIT_CALL_MS 20000u
#define LIMIT_KEYGEN_MS 15000u /* RSA-4096 takes seconds of processor time */
#define LIMIT_HANDSHAKE_MS 10000u
#define LIMIT_ELECTION_MS 600u
#define LIMIT_HEARTBEAT_MS 100u
#define LIMIT_JOIN_SKEW_S 5u
#define LIMIT_DISK_STALL_MS 10000u

_Static_assert(LIMIT_BLOB < LIMIT_FRAME_CLIENT, "a blob fits a client frame");
_Static_assert(LIMIT_BLOB * LIMIT_OBJECTS_PER_COMMAND < LIMIT_COMMAND, "blobs fit a command");
_Static_assert(LIMIT_COMMAND < LIMIT_FRAME_PEER, "a command fits a peer frame");
_Static_assert(LIMIT_BLOB < LIMIT_RING_LARGE, "a blob fits a ring slot");
#endif
