/* SPDX-License-Identifier: Apache-2.0 */
/* Both executors: inline, and the thread with completions on the loop. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include "base/executor_thread.h"

enum { JOBS = 200 };

struct scene {
    const struct executor *executor;
    pthread_t loop_thread;
    sem_t gate;
    int worked;      /* on the executor's thread */
    int completed;   /* on the loop thread */
    int done;        /* on the loop thread */
    int wrong_place; /* callbacks on a wrong thread or out of order */
};

struct job {
    struct scene *scene;
    int number;
};

static void on_done(void *arg)
{
    struct job *j = arg;
    struct scene *s = j->scene;
    s->wrong_place += s->done != j->number || !pthread_equal(pthread_self(), s->loop_thread);
    s->done++;
}

static void on_complete(void *arg)
{
    struct job *j = arg;
    struct scene *s = j->scene;
    /* the completion that the job itself posted comes before its own end */
    s->wrong_place += s->done != j->number || !pthread_equal(pthread_self(), s->loop_thread);
    s->completed++;
}

static void work(void *arg)
{
    struct job *j = arg;
    struct scene *s = j->scene;
    s->wrong_place += s->worked != j->number;
    s->worked++;
    executor_complete(s->executor, on_complete, j);
}

static void work_behind_gate(void *arg)
{
    struct job *j = arg;
    (void)sem_wait(&j->scene->gate);
}

static void count_work(void *arg)
{
    (*(int *)arg)++;
}

Test(executor, inline_runs_at_once, .timeout = 20)
{
    struct scene s = { .executor = executor_inline(), .loop_thread = pthread_self() };
    struct job j = { &s, 0 };
    int count = 0;
    cr_expect_eq(executor_post(s.executor, work, on_done, &j), ERR_OK);
    cr_expect_eq(s.worked, 1);
    cr_expect_eq(s.completed, 1);
    cr_expect_eq(s.done, 1);
    cr_expect_eq(s.wrong_place, 0);
    cr_expect_eq(executor_post(s.executor, count_work, NULL, &count), ERR_OK);
    cr_expect_eq(count, 1);
}

Test(executor_thread, jobs_run_in_order_and_complete_on_the_loop, .timeout = 20)
{
    uv_loop_t loop;
    struct executor_thread *x = NULL;
    struct scene s = { .loop_thread = pthread_self() };
    struct job jobs[JOBS];
    cr_assert_eq(uv_loop_init(&loop), 0);
    cr_assert_eq(executor_thread_open(&loop, JOBS, &x), ERR_OK);
    s.executor = executor_thread_executor(x);
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (struct job){ &s, i };
        cr_assert_eq(executor_post(s.executor, work, on_done, &jobs[i]), ERR_OK);
    }
    while (s.done < JOBS) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    cr_expect_eq(s.completed, JOBS);
    executor_thread_close(x);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_expect_eq(s.wrong_place, 0);
    cr_expect_eq(uv_loop_close(&loop), 0);
}

Test(executor_thread, close_finishes_what_is_queued, .timeout = 20)
{
    uv_loop_t loop;
    struct executor_thread *x = NULL;
    struct scene s = { .loop_thread = pthread_self() };
    struct job jobs[JOBS];
    cr_assert_eq(uv_loop_init(&loop), 0);
    cr_assert_eq(executor_thread_open(&loop, JOBS, &x), ERR_OK);
    s.executor = executor_thread_executor(x);
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (struct job){ &s, i };
        cr_assert_eq(executor_post(s.executor, work, on_done, &jobs[i]), ERR_OK);
    }
    executor_thread_close(x);
    cr_expect_eq(s.worked, JOBS);
    cr_expect_eq(s.done, JOBS);
    cr_expect_eq(s.wrong_place, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_expect_eq(uv_loop_close(&loop), 0);
    executor_thread_close(NULL);
}

Test(executor_thread, a_full_queue_is_busy, .timeout = 20)
{
    uv_loop_t loop;
    struct executor_thread *x = NULL;
    struct scene s = { .loop_thread = pthread_self() };
    struct job gate = { &s, 0 };
    enum err e = ERR_OK;
    int count = 0;
    int accepted = 0;
    cr_assert_eq(sem_init(&s.gate, 0, 0), 0);
    cr_assert_eq(uv_loop_init(&loop), 0);
    cr_assert_eq(executor_thread_open(&loop, 3, &x), ERR_OK);
    s.executor = executor_thread_executor(x);
    cr_assert_eq(executor_post(s.executor, work_behind_gate, NULL, &gate), ERR_OK);
    for (int i = 0; i < 10 && e == ERR_OK; i++) {
        e = executor_post(s.executor, count_work, NULL, &count);
        accepted += e == ERR_OK;
    }
    cr_expect_eq(e, ERR_BUSY);
    cr_expect(accepted == 2 || accepted == 3, "the first may still wait itself");
    cr_assert_eq(sem_post(&s.gate), 0);
    executor_thread_close(x);
    cr_expect_eq(count, accepted);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_expect_eq(uv_loop_close(&loop), 0);
    sem_destroy(&s.gate);
}
