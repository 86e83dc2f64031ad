/* SPDX-License-Identifier: Apache-2.0 */
/* A cluster for tests of the client: members are threads behind real loopback
 * TLS, with a scripted fault per request type; its "core" opens envelopes with
 * proto/envelope. No raft, no disk: one shared state under one lock. */
#ifndef RINGKEEP_TESTS_FAKE_CLUSTER_H
#define RINGKEEP_TESTS_FAKE_CLUSTER_H

#include <pthread.h>

#include "proto/envelope.h"

#define FAKE_MEMBERS 4u
#define FAKE_TYPES 32u
#define FAKE_OBJECTS 200u
#define FAKE_PAGE 16u

/* What a member does with a request of one type. */
enum fake_fault {
    FAKE_NONE,
    FAKE_ERROR,       /* answers `error` and does nothing */
    FAKE_CLOSE,       /* ends the connection instead of an answer */
    FAKE_DO_CLOSE,    /* does it, then ends the connection */
    FAKE_DO_ERROR,    /* does it, then answers `error` */
    FAKE_SILENT,      /* never answers */
    FAKE_GARBAGE,     /* a frame whose payload is no message */
    FAKE_NOISE,       /* bytes that are no frame */
    FAKE_WRONG_ID,    /* the answer to another request */
    FAKE_WRONG_TYPE,
    FAKE_TOO_LONG,    /* announces four gigabytes */
    FAKE_TRUNCATED,   /* half an answer, then the end */
    FAKE_TWICE,       /* the answer two times */
    FAKE_BARE,        /* does it, then answers ok with nothing in it */
    FAKE_TAMPER,      /* does it, with a damaged login reply */
    FAKE_SLOW         /* answers after 300 ms */
};

struct fake_script {
    enum fake_fault fault;
    enum err error;
    unsigned times; /* then as usual; 0: for ever */
};

struct fake_cluster;
struct fake_member {
    struct fake_cluster *cluster;
    unsigned number;
    uint8_t member_id[ID_SIZE], id_private[32], id_pub[32];
    char address[LIMIT_ADDRESS];
    int listener;
    pthread_t thread;
    bool up, stop;
    int fds[64]; /* open connections, -1 */
    /* under the cluster's lock */
    struct fake_script script[FAKE_TYPES];
    unsigned seen[FAKE_TYPES], connections, open;
};

struct fake_object {
    uint8_t object_id[ID_SIZE];
    uint64_t handle;
    bool is_private;
};

struct fake_cluster {
    char folder[64]; /* ca, server and client files, ringkeep.conf, login.state */
    pthread_mutex_t mutex;
    unsigned count;
    struct fake_member member[FAKE_MEMBERS];
    struct tls_context *tls;
    uint8_t cluster_id[ID_SIZE], incarnation[ID_SIZE], keyring_id[ID_SIZE], client_spki[32];
    uint8_t lk_private[32], lk_pub[32];
    uint64_t lk_version, roster_version, map_epoch, index, changed_index;
    unsigned in_map; /* the first so many members are in the map */
    char password[64];
    uint8_t ticket[264];
    bool ticket_good;
    unsigned logins;
    uint64_t next_session;
    struct fake_object object[FAKE_OBJECTS];
    unsigned object_count;
    /* writes: request ids seen, in order, with what each asked for */
    uint8_t request_id[64][ID_SIZE];
    uint64_t base_index[64];
    unsigned request_count; /* all, with repeats */
    unsigned write_count;   /* executed */
    uint8_t done_id[64][ID_SIZE], done_object[64][ID_SIZE];
};

/* Starts `count` members; the client's configuration names the first `seeds`. */
void fake_cluster_open(struct fake_cluster *c, unsigned count, unsigned seeds);
void fake_cluster_close(struct fake_cluster *c);
void fake_cluster_stop(struct fake_cluster *c, unsigned member);  /* as kill -9 */
void fake_cluster_start(struct fake_cluster *c, unsigned member); /* at its old address */
void fake_cluster_script(struct fake_cluster *c, unsigned member, unsigned type, enum fake_fault fault, enum err error, unsigned times);
unsigned fake_cluster_seen(struct fake_cluster *c, unsigned member, unsigned type);
const char *fake_cluster_path(struct fake_cluster *c, const char *name);
/* Writes pins that trust the first `members` at the present login key. */
void fake_cluster_pin(struct fake_cluster *c, unsigned members);
void fake_cluster_rotate(struct fake_cluster *c); /* a new LK */

#endif
