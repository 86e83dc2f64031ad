/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs for the scrypt threads, and the core's own counters around a comparison.
 * make, post, finish on the keeper's thread; `work` on a scrypt thread touches the
 * job alone. A job lives in secret memory: it holds passwords and keys. */
#include "hsm-sim/keeper_inner.h"

#include <assert.h>
#include <string.h>

unsigned keeper_log_n(unsigned test_log_n, unsigned log_n)
{
    return test_log_n != 0 ? test_log_n : log_n;
}

enum err keeper_job_make(struct keeper_call *call, struct keeper_job **out)
{
    struct secret memory = { 0 };
    struct keeper *k = call->k;
    if (k->scrypt_waiting >= LIMIT_SCRYPT_QUEUE) {
        return ERR_BUSY;
    }
    TRY(secret_alloc(&memory, sizeof(struct keeper_job)));
    struct keeper_job *job = (void *)memory.data;
    job->memory = memory;
    job->k = k;
    job->cb = call->cb;
    job->arg = call->arg;
    job->life = k->life;
    job->clock = k->clock;
    job->test_log_n = k->test_log_n;
    job->now_s = keeper_now_s(k);
    *out = job;
    return ERR_OK;
}

void keeper_job_drop(struct keeper_job *job)
{
    if (job != NULL) {
        struct secret memory = job->memory;
        secret_drop(&memory);
    }
}

static void run_job(void *arg)
{
    struct keeper_job *job = arg;
    job->error = job->work(job);
}

static void finish_job(void *arg)
{
    struct keeper_job *job = arg;
    struct keeper *k = job->k;
    struct keeper_out out;
    out.number = 0;
    out.count = 0;
    out.used = 0;
    memset(out.section, 0, sizeof out.section);
    k->scrypt_waiting--;
    enum err e = ERR_UNINITIALISED;
    if (job->life == k->life) {
        e = job->finish(job, &out);
    }
    struct core_reply reply = { .error = e, .number = out.number };
    if (e == ERR_OK) {
        memcpy(reply.section, out.section, sizeof reply.section);
    }
    job->cb(job->arg, &reply);
    bytes_wipe(out.buffer, out.used);
    keeper_job_drop(job);
}

enum err keeper_job_post(struct keeper_call *call, struct keeper_job **job)
{
    struct keeper_job *j = *job;
    struct keeper *k = call->k;
    *job = NULL;
    /* Before the post: an inline executor finishes inside it. */
    call->later = true;
    k->scrypt_waiting++;
    enum err e = executor_post(k->scrypt, run_job, finish_job, j);
    if (e != ERR_OK) {
        call->later = false;
        k->scrypt_waiting--;
        if (j->counter.failures != NULL) {
            (*j->counter.in_flight)--;
            (*j->counter.failures)--;
        }
        keeper_job_drop(j);
    }
    return e;
}

enum err keeper_count_begin(struct keeper *k,
                            struct keeper_job *job,
                            struct keeper_counter counter,
                            unsigned most)
{
    if (*counter.failures >= most) {
        return *counter.in_flight > 0 ? ERR_BUSY : ERR_PIN_LOCKED;
    }
    (*counter.failures)++;
    TRY(keeper_store(k));
    (*counter.in_flight)++;
    job->counter = counter;
    return ERR_OK;
}

/* A comparison that was never made gives its count back. */
enum err keeper_count_end(struct keeper_job *job)
{
    struct keeper_counter c = job->counter;
    assert(c.failures != NULL && *c.in_flight > 0);
    (*c.in_flight)--;
    if (job->compared && !job->matched) {
        return ERR_OK;
    }
    if (!job->compared) {
        *c.failures = *c.failures > 0 ? (uint8_t)(*c.failures - 1) : 0;
    } else {
        *c.failures = *c.in_flight;
    }
    return keeper_store(job->k);
}

enum err keeper_job_compare(struct keeper_job *job)
{
    uint8_t dk[RECORD_DK];
    const struct envelope_pin *pin = &job->pin[0];
    if (job->reserved_ms != 0 &&
        clock_boot_ms(job->clock) - job->reserved_ms > KEEPER_LOGIN_AGE_MS) {
        return ERR_TIMEOUT;
    }
    TRY(record_derive(&job->row, job->owner_id, bytes_of(pin->pin, pin->pin_size), dk));
    job->compared = true;
    enum err e = record_row_compare(&job->row, job->owner_id, dk);
    job->matched = e == ERR_OK;
    if (e == ERR_OK && (job->row.flags & RECORD_NO_WRAP) == 0) {
        e = record_row_unwrap(&job->row, job->owner_id, job->kk_id, dk, job->kk);
    }
    bytes_wipe(dk, sizeof dk);
    return e;
}

enum err keeper_job_domain_key(struct keeper_job *job, const struct envelope_pin *pin)
{
    struct bytes text = bytes_of(pin->new_pin, pin->new_pin_size);
    if (job->test_log_n != 0) {
        return crypt_scrypt(text, bytes_of(job->domain_id, ID_SIZE), job->test_log_n, job->dk,
                            CRYPT_KEY);
    }
    return smk_domain_key(text, job->domain_id, job->dk);
}
