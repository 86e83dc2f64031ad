/* SPDX-License-Identifier: Apache-2.0 */
/* The module's state: client, slots, sessions. See p11.h for the locking rule. */
#include "client/pkcs11/p11.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    pid_t owner; /* process that initialised; 0: nobody */
    struct ringkeep_client *client;
    struct p11_slot *slots[P11_SLOTS];
    size_t slot_count;
    bool slots_known;
    struct p11_session *sessions;
    unsigned session_count;
    CK_SESSION_HANDLE next_session;
    bool exiting; /* OpenSSL may be gone already */
} state = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Runs before OpenSSL's own cleanup, since it is registered after it. */
static void note_exit(void)
{
    state.exiting = true;
}

void p11_lock(void)
{
    const int failed = pthread_mutex_lock(&state.lock);
    assert(failed == 0);
}

void p11_unlock(void)
{
    const int failed = pthread_mutex_unlock(&state.lock);
    assert(failed == 0);
}

bool p11_running(void)
{
    return state.owner != 0 && state.owner == getpid();
}

struct ringkeep_client *p11_client(void)
{
    return p11_running() ? state.client : NULL;
}

static void drop_session(struct p11_session *s)
{
    for (size_t i = 0; i < sizeof(s->work) / sizeof(s->work[0]); i++) {
        p11_work_reset(&s->work[i]);
    }
    free(s->found);
    free(s);
}

static void drop_slots(void)
{
    for (size_t i = 0; i < state.slot_count; i++) {
        p11_objects_clear(state.slots[i], false);
        free(state.slots[i]->objects);
        free(state.slots[i]);
        state.slots[i] = NULL;
    }
    state.slot_count = 0;
    state.slots_known = false;
}

static void drop_everything(void)
{
    while (state.sessions != NULL) {
        struct p11_session *s = state.sessions;
        state.sessions = s->next;
        drop_session(s);
    }
    state.session_count = 0;
    drop_slots();
}

/* What a forked child inherited belongs to the parent: drop it without a byte on
 * the parent's sockets. Another thread may have held the lock at the fork. */
static void forget_parent(void)
{
    static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
    memcpy(&state.lock, &fresh, sizeof(fresh));
    drop_everything();
    ringkeep_forked(state.client);
    state.client = NULL;
    state.owner = 0;
}

CK_RV p11_start(void)
{
    static bool registered;
    const char *text = NULL;
    if (p11_running()) {
        return CKR_CRYPTOKI_ALREADY_INITIALIZED;
    }
    if (state.owner != 0) {
        forget_parent();
    }
    if (ringkeep_open(NULL, &state.client, &text) != 0) {
        return CKR_DEVICE_ERROR;
    }
    if (!registered) {
        registered = atexit(note_exit) == 0;
    }
    state.owner = getpid();
    return CKR_OK;
}

CK_RV p11_stop(void)
{
    if (!p11_running()) {
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    }
    p11_lock();
    struct ringkeep_client *client = state.client;
    state.client = NULL;
    state.owner = 0;
    drop_everything();
    p11_unlock();
    if (!state.exiting) {
        ringkeep_close(client);
    }
    return CKR_OK;
}

/* -- slots ------------------------------------------------------------------ */

size_t p11_slot_count(void)
{
    return state.slot_count;
}

struct p11_slot *p11_slot_at(size_t index)
{
    assert(index < state.slot_count);
    return state.slots[index];
}

struct p11_slot *p11_slot_find(CK_SLOT_ID id)
{
    for (size_t i = 0; i < state.slot_count; i++) {
        if (state.slots[i]->info.slot == id) {
            return state.slots[i];
        }
    }
    return NULL;
}

/* Known slots keep their state; slots never go away while the module runs, so that
 * numbers stay as they are. */
static CK_RV merge_slots(const struct ringkeep_slot *slots, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct p11_slot *known = p11_slot_find(slots[i].slot);
        if (known != NULL) {
            known->info = slots[i];
            continue;
        }
        if (state.slot_count == P11_SLOTS) {
            return CKR_DEVICE_MEMORY;
        }
        struct p11_slot *fresh = calloc(1, sizeof(*fresh));
        if (fresh == NULL) {
            return CKR_HOST_MEMORY;
        }
        fresh->info = slots[i];
        state.slots[state.slot_count++] = fresh;
    }
    state.slots_known = true;
    return CKR_OK;
}

CK_RV p11_refresh_slots(void)
{
    if (state.slots_known) {
        return CKR_OK;
    }
    struct ringkeep_client *client = state.client;
    p11_unlock();
    struct ringkeep_slot *slots = calloc(P11_SLOTS, sizeof(*slots));
    size_t count = 0;
    const int error =
        slots == NULL ? (int)ERR_NOMEM : ringkeep_slots(client, slots, P11_SLOTS, &count);
    p11_lock();
    CK_RV rv =
        error == 0 ? merge_slots(slots, count < P11_SLOTS ? count : P11_SLOTS) : rv_from_err(error);
    free(slots);
    return rv;
}

/* -- sessions --------------------------------------------------------------- */

CK_RV p11_session_open(struct p11_slot *slot, CK_FLAGS flags, CK_SESSION_HANDLE *out)
{
    if (state.session_count >= P11_SESSIONS) {
        return CKR_SESSION_COUNT;
    }
    if ((flags & CKF_RW_SESSION) == 0 && slot->logged_in && slot->user == CKU_SO) {
        return CKR_SESSION_READ_WRITE_SO_EXISTS;
    }
    struct p11_session *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return CKR_HOST_MEMORY;
    }
    s->handle = ++state.next_session;
    s->slot = slot;
    s->flags = flags;
    s->next = state.sessions;
    state.sessions = s;
    state.session_count++;
    slot->sessions++;
    slot->rw_sessions += (flags & CKF_RW_SESSION) != 0 ? 1 : 0;
    *out = s->handle;
    return CKR_OK;
}

/* Unlinks and frees *link. The last session of a slot logs it out: the caller does
 * that, without the lock. */
static void end_session(struct p11_session **link)
{
    struct p11_session *s = *link;
    *link = s->next;
    state.session_count--;
    s->slot->sessions--;
    s->slot->rw_sessions -= (s->flags & CKF_RW_SESSION) != 0 ? 1 : 0;
    p11_objects_end_session(s->slot, s->handle);
    drop_session(s);
}

static void logout_if_idle(struct p11_slot *slot)
{
    if (slot->sessions > 0 || !slot->logged_in) {
        return;
    }
    struct ringkeep_client *client = state.client;
    slot->logged_in = false;
    p11_objects_clear(slot, true);
    p11_unlock();
    (void)ringkeep_logout(client, slot->info.keyring_id);
    p11_lock();
}

CK_RV p11_session_close(CK_SESSION_HANDLE handle)
{
    for (struct p11_session **link = &state.sessions; *link != NULL; link = &(*link)->next) {
        if ((*link)->handle != handle) {
            continue;
        }
        if ((*link)->busy) {
            return CKR_OPERATION_ACTIVE;
        }
        struct p11_slot *slot = (*link)->slot;
        end_session(link);
        logout_if_idle(slot);
        return CKR_OK;
    }
    return CKR_SESSION_HANDLE_INVALID;
}

CK_RV p11_session_close_all(CK_SLOT_ID id)
{
    struct p11_slot *slot = p11_slot_find(id);
    if (slot == NULL) {
        return CKR_SLOT_ID_INVALID;
    }
    CK_RV rv = CKR_OK;
    struct p11_session **link = &state.sessions;
    while (*link != NULL) {
        if ((*link)->slot == slot && !(*link)->busy) {
            end_session(link);
            continue;
        }
        rv = (*link)->slot == slot ? CKR_OPERATION_ACTIVE : rv;
        link = &(*link)->next;
    }
    logout_if_idle(slot);
    return rv;
}

struct p11_session *p11_enter(CK_SESSION_HANDLE handle, CK_RV *rv)
{
    if (!p11_running()) {
        *rv = CKR_CRYPTOKI_NOT_INITIALIZED;
        return NULL;
    }
    p11_lock();
    struct p11_session *s = state.sessions;
    while (s != NULL && s->handle != handle) {
        s = s->next;
    }
    if (s == NULL || s->busy) {
        *rv = s == NULL ? CKR_SESSION_HANDLE_INVALID : CKR_OPERATION_ACTIVE;
        s = NULL;
    } else {
        s->busy = true;
        *rv = CKR_OK;
    }
    p11_unlock();
    return s;
}

void p11_leave(struct p11_session *s)
{
    p11_lock();
    s->busy = false;
    p11_unlock();
}
