/* SPDX-License-Identifier: Apache-2.0 */
/* The same creation sent again and again: to one member, cut off before its reply;
 * to another; after a change of leader to all. Speaks to each member by itself, over
 * connections of its own, with the ticket that libringkeep got.
 *
 * raw_once CONF OTHER_CONF KEYRING PIN_FILE COUNT ADDRESS..
 * Prints test lines, "kill" where the leader shall be killed, then waits for a line
 * on stdin with the address of the member that died; at the end an "id PRIVATE
 * PUBLIC" line for each creation. OTHER_CONF: another client of the keyring. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <p11-kit/pkcs11.h>

#include "base/digest.h"
#include "base/limits.h"
#include "base/random.h"
#include "client.pb-c.h"
#include "client/client_pb.h"
#include "client/client_state.h"
#include "client/ringkeep.h"
#include "proto/template.h"

#define MEMBERS 3u
#define CREATIONS 1000u
#define PATIENCE_MS 20000u

struct creation {
    uint8_t request_id[ID_SIZE], object_id[2][ID_SIZE]; /* private, public */
    uint64_t base_index;
    bool known; /* answered once: made is what the answer said */
    uint8_t made[DIGEST_SIZE];
};

struct line {
    struct client_conn *conn;
    uint64_t session;
};

static struct ringkeep_client *client, *other;
static const char *address[MEMBERS];
static uint8_t keyring_id[ID_SIZE];
static struct creation creations[CREATIONS];
static unsigned count;
static struct buf private_list, public_list;
static int failures;

static void report(bool good, const char *name, const char *more)
{
    printf("%s once: %s%s%s\n", good ? "ok" : "not ok", name, *more != 0 ? ": " : "", more);
    (void)fflush(stdout);
    failures += good ? 0 : 1;
}

static void pause_ms(uint64_t ms)
{
    const struct timespec t = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };
    (void)nanosleep(&t, NULL);
}

/* -- connections ---------------------------------------------------------------- */

static enum err say_hello(struct client_conn *conn)
{
    MESSAGE_SCOPED *arena = NULL;
    Ringkeep__Reply *reply = NULL;
    Ringkeep__Hello hello = RINGKEEP__HELLO__INIT;
    hello.major = PROTOCOL_MAJOR;
    hello.minor = PROTOCOL_MINOR;
    hello.has_min_index = true;
    hello.min_index = 1;
    TRY(client_conn_exchange(conn, FRAME_HELLO, &hello, client_now_ms() + LIMIT_REQUEST_MS, &arena, &reply));
    return err_from_wire(reply->error);
}

static enum err show_ticket(struct ringkeep_client *c, struct line *line)
{
    MESSAGE_SCOPED *arena = NULL;
    Ringkeep__Reply *reply = NULL;
    Ringkeep__Open open = RINGKEEP__OPEN__INIT;
    const struct client_keyring *k = client_keyring_find(c, keyring_id, false);
    open.keyring_id = client_pb_of(keyring_id, ID_SIZE);
    open.has_ticket = true;
    open.ticket = client_pb_of(k->login.ticket.data, k->login.ticket.size);
    TRY(client_conn_exchange(line->conn, FRAME_OPEN, &open, client_now_ms() + LIMIT_REQUEST_MS, &arena, &reply));
    line->session = reply->session;
    return err_from_wire(reply->error);
}

static void end_line(struct line *line)
{
    client_conn_close(line->conn, true);
    line->conn = NULL;
}

static enum err begin_line(struct ringkeep_client *c, unsigned member, struct line *line)
{
    *line = (struct line){ 0 };
    TRY(client_conn_open(c->tls, address[member], client_now_ms() + LIMIT_CONNECT_MS, &line->conn));
    enum err e = say_hello(line->conn);
    e = e == ERR_OK ? show_ticket(c, line) : e;
    if (e != ERR_OK) {
        end_line(line);
    }
    return e;
}

/* -- the creation ---------------------------------------------------------------- */

struct request {
    Ringkeep__Write write;
    Ringkeep__Generate message;
};

static void fill(struct request *r, const struct creation *x, const struct line *line)
{
    static const Ringkeep__Write write = RINGKEEP__WRITE__INIT;
    static const Ringkeep__Generate generate = RINGKEEP__GENERATE__INIT;
    Ringkeep__Generate *m = &r->message;
    r->write = write;
    r->write.request_id = client_pb_of(x->request_id, ID_SIZE);
    r->write.base_index = x->base_index;
    *m = generate;
    m->session = line->session;
    m->mechanism = CKM_EC_KEY_PAIR_GEN;
    m->has_template_ = m->has_public_template = m->has_public_object_id = true;
    m->template_ = client_pb_of(private_list.data, private_list.size);
    m->public_template = client_pb_of(public_list.data, public_list.size);
    m->object_id = client_pb_of(x->object_id[0], ID_SIZE);
    m->public_object_id = client_pb_of(x->object_id[1], ID_SIZE);
    m->token = true;
    m->write = &r->write;
}

/* Sends and cuts off: after `wait_ms`, by FIN or by RST; half: only half of the
 * request, so that this member never gets it. */
static enum err send_and_cut(unsigned member, const struct creation *x, uint64_t wait_ms, bool reset, bool half)
{
    const struct linger at_once = { 1, 0 };
    BUF_SCOPED frame = { 0 };
    struct line line;
    struct request r;
    TRY(begin_line(client, member, &line));
    fill(&r, x, &line);
    enum err e = message_append(&frame, FRAME_GENERATE, ++line.conn->request, &r.message, LIMIT_FRAME_CLIENT);
    e = e == ERR_OK ? tls_write(line.conn->tls, buf_bytes(&frame)) : e;
    const struct bytes cipher = tls_pending(line.conn->tls);
    const size_t size = half ? cipher.size / 2 : cipher.size;
    if (e == ERR_OK && send(line.conn->fd, cipher.data, size, MSG_NOSIGNAL) != (ssize_t)size) {
        e = ERR_UNREACHABLE;
    }
    pause_ms(wait_ms);
    if (reset) {
        (void)setsockopt(line.conn->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    client_conn_close(line.conn, false);
    return e;
}

/* What an answer says was made: ids, handles, attributes with the public key. */
static enum err digest_made(const Ringkeep__Reply *reply, const struct creation *x, uint8_t out[DIGEST_SIZE])
{
    uint8_t handles[2][8];
    struct bytes pieces[6];
    if (reply->n_objects != 2) {
        return ERR_PROTOCOL;
    }
    for (unsigned i = 0; i < 2; i++) {
        const Ringkeep__ObjectInfo *o = reply->objects[i];
        const struct bytes id = client_pb_bytes(o->object_id);
        put_u64(handles[i], o->handle);
        if (!bytes_equal(id, bytes_of(x->object_id[i], ID_SIZE)) || o->handle == 0 || o->attributes.len < 65) {
            return ERR_BAD_CONTENT;
        }
        pieces[3 * i] = id;
        pieces[3 * i + 1] = bytes_of(handles[i], 8);
        pieces[3 * i + 2] = client_pb_bytes(o->attributes);
    }
    digest_sha256(pieces, 6, out);
    return ERR_OK;
}

static enum err ask_once(struct ringkeep_client *c, unsigned member, const struct creation *x, uint8_t made[DIGEST_SIZE])
{
    MESSAGE_SCOPED *arena = NULL;
    Ringkeep__Reply *reply = NULL;
    struct line line;
    struct request r;
    TRY(begin_line(c, member, &line));
    fill(&r, x, &line);
    enum err e = client_conn_exchange(line.conn, FRAME_GENERATE, &r.message, client_now_ms() + LIMIT_REQUEST_MS, &arena, &reply);
    e = e == ERR_OK ? err_from_wire(reply->error) : e;
    e = e == ERR_OK ? digest_made(reply, x, made) : e;
    end_line(&line);
    return e;
}

/* At this member alone, until it answers for good. */
static enum err ask(unsigned member, const struct creation *x, uint8_t made[DIGEST_SIZE])
{
    const uint64_t end = client_now_ms() + PATIENCE_MS;
    for (;;) {
        const enum err e = ask_once(client, member, x, made);
        if (e == ERR_OK || err_class_of(e) != ERR_CLASS_RETRY || client_now_ms() >= end) {
            return e;
        }
        pause_ms(50);
    }
}

/* -- steps ------------------------------------------------------------------------- */

static struct creation *new_creation(void)
{
    struct creation *x = &creations[count++];
    random_fill(random_system(), x->request_id, ID_SIZE);
    random_fill(random_system(), x->object_id, sizeof x->object_id);
    x->base_index = client->index;
    return x;
}

/* Asks this member for these creations: ok, and what was answered before. */
static void ask_range(unsigned member, unsigned from, unsigned to, const char *name)
{
    char more[160] = "";
    unsigned wrong = 0;
    for (unsigned i = from; i < to; i++) {
        struct creation *x = &creations[i];
        uint8_t made[DIGEST_SIZE] = { 0 };
        const enum err e = ask(member, x, made);
        const bool same = !x->known || memcmp(made, x->made, DIGEST_SIZE) == 0;
        if (e != ERR_OK || !same) {
            (void)snprintf(more, sizeof more, "%u of %u, last %s at %s", ++wrong, to - from,
                           e != ERR_OK ? err_name(e) : "another key", address[member]);
        } else if (!x->known) {
            x->known = true;
            memcpy(x->made, made, DIGEST_SIZE);
        }
    }
    report(wrong == 0, name, more);
}

/* Every eighth request only half arrives; the others are cut 0 to 30 ms after they
 * were sent. */
static void cut_range(unsigned creations_wanted, bool retried)
{
    unsigned unsent = 0;
    for (unsigned n = 0; n < creations_wanted; n++) {
        struct creation *x = new_creation();
        const unsigned member = n % MEMBERS;
        const bool half = n % 8 == 7;
        unsent += send_and_cut(member, x, (n * 7) % 31, n % 2 == 0, half) == ERR_OK ? 0 : 1;
        if (retried) {
            uint8_t made[DIGEST_SIZE];
            const enum err e = ask((member + 1) % MEMBERS, x, made);
            if (e == ERR_OK) {
                x->known = true;
                memcpy(x->made, made, DIGEST_SIZE);
            } else {
                report(false, "a retry elsewhere", err_name(e));
            }
        }
    }
    report(unsent == 0, "the requests were sent and cut off", "");
}

static unsigned wait_for_death(void)
{
    char text[128] = "";
    printf("kill\n");
    (void)fflush(stdout);
    if (fgets(text, sizeof text, stdin) == NULL) {
        return MEMBERS;
    }
    text[strcspn(text, "\n")] = 0;
    for (unsigned i = 0; i < MEMBERS; i++) {
        if (strcmp(address[i], text) == 0) {
            return i;
        }
    }
    return MEMBERS;
}

/* Every fourth creation once more at each member, changed in one way. */
static void expect_refusal(struct ringkeep_client *c, enum err wanted, void (*change)(struct creation *x), const char *name)
{
    char more[160] = "";
    unsigned wrong = 0;
    for (unsigned i = 0; i < count; i += 4) {
        struct creation x = creations[i];
        uint8_t made[DIGEST_SIZE];
        change(&x);
        const enum err e = ask_once(c, i / 4 % MEMBERS, &x, made);
        if (e != wanted) {
            (void)snprintf(more, sizeof more, "%u times, last %s instead of %s", ++wrong, err_name(e), err_name(wanted));
        }
    }
    report(wrong == 0, name, more);
}

static void change_nothing(struct creation *x)
{
    (void)x;
}
static void change_object(struct creation *x)
{
    x->object_id[0][0] ^= 1;
}
static void change_request(struct creation *x)
{
    x->request_id[0] ^= 1;
}
/* A request of its own that claims to have seen what no member has. */
static void change_base(struct creation *x)
{
    x->request_id[1] ^= 1;
    x->object_id[0][1] ^= 1;
    x->object_id[1][1] ^= 1;
    x->base_index += LIMIT_OUTCOME_WINDOW;
}

static void expect_refusals(void)
{
    expect_refusal(client, ERR_REFUSED, change_object, "the same request id for another object is refused");
    expect_refusal(other, ERR_REFUSED, change_nothing, "the same request id of another client is refused");
    expect_refusal(client, ERR_EXISTS, change_request, "another request for the same object exists");
    expect_refusal(client, ERR_TOO_OLD, change_base, "a base index that is not there yet is refused");
}

/* -- start -------------------------------------------------------------------------- */

static enum err log_in(const char *conf, const char *label, const char *pin_file, struct ringkeep_client **out)
{
    struct ringkeep_slot slots[64];
    char pin[256] = "";
    const char *text = "";
    size_t slot_count = 0;
    enum err e = (enum err)ringkeep_open(conf, out, &text);
    e = e == ERR_OK ? (enum err)ringkeep_slots(*out, slots, 64, &slot_count) : e;
    for (size_t i = 0; e == ERR_OK && i < slot_count && i < 64; i++) {
        if (strcmp(slots[i].label, label) == 0) {
            memcpy(keyring_id, slots[i].keyring_id, ID_SIZE);
        }
    }
    FILE *f = fopen(pin_file, "r");
    if (e == ERR_OK && (f == NULL || fgets(pin, sizeof pin, f) == NULL)) {
        e = ERR_IO;
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    pin[strcspn(pin, "\n")] = 0;
    return e == ERR_OK ? (enum err)ringkeep_login(*out, keyring_id, RINGKEEP_ROLE_KRCO, pin, strlen(pin)) : e;
}

static enum err make_templates(void)
{
    static const uint8_t p256[] = { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };
    TRY(template_put_bool(&public_list, CKA_TOKEN, true));
    TRY(template_put(&public_list, CKA_EC_PARAMS, bytes_of(p256, sizeof p256)));
    return template_put_bool(&private_list, CKA_TOKEN, true);
}

static void run(unsigned wanted)
{
    const unsigned first = wanted * 2 / 3;
    cut_range(first, true);
    ask_range(2, 0, first, "a third member knows each of them");
    cut_range(wanted - first, false);
    const unsigned dead = wait_for_death();
    if (dead == MEMBERS) {
        report(false, "the script names the killed member", "");
        return;
    }
    ask_range((dead + 1) % MEMBERS, 0, count, "after the leader's death a survivor answers each retry");
    ask_range((dead + 2) % MEMBERS, 0, count, "and the other one with the same keys");
    ask_range(dead, 0, count, "and the killed one, once it is back");
    expect_refusals();
    ask_range(0, 0, count, "after the refusals each retry is still answered");
    for (unsigned i = 0; i < count; i++) {
        char hex[2][2 * ID_SIZE + 1];
        printf("id %s %s\n", hex_from(bytes_of(creations[i].object_id[0], ID_SIZE), hex[0]),
               hex_from(bytes_of(creations[i].object_id[1], ID_SIZE), hex[1]));
    }
}

int main(int argc, char **argv)
{
    if (argc != 6 + (int)MEMBERS) {
        return 2;
    }
    for (unsigned i = 0; i < MEMBERS; i++) {
        address[i] = argv[6 + i];
    }
    enum err e = log_in(argv[1], argv[3], argv[4], &client);
    e = e == ERR_OK ? log_in(argv[2], argv[3], argv[4], &other) : e;
    e = e == ERR_OK ? make_templates() : e;
    if (e != ERR_OK) {
        report(false, "the clients log in", err_name(e));
        return 1;
    }
    run((unsigned)strtoul(argv[5], NULL, 10) % CREATIONS);
    buf_drop(&private_list);
    buf_drop(&public_list);
    ringkeep_close(client);
    ringkeep_close(other);
    return failures == 0 ? 0 : 1;
}
