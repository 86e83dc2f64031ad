/* SPDX-License-Identifier: Apache-2.0 */
/* A heap for libraft that hands out junk; see raft_junk.h. */
#include "tests/lib/raft_junk.h"

#include <raft.h>
#include <stdlib.h>
#include <string.h>

static void *junk_malloc(void *data, size_t size)
{
    (void)data;
    void *p = malloc(size);
    return p == NULL ? NULL : memset(p, 0xa5, size);
}

static void plain_free(void *data, void *p)
{
    (void)data;
    free(p);
}

static void *plain_calloc(void *data, size_t n, size_t size)
{
    (void)data;
    return calloc(n, size);
}

static void *plain_realloc(void *data, void *p, size_t size)
{
    (void)data;
    return realloc(p, size);
}

static void *plain_aligned(void *data, size_t alignment, size_t size)
{
    (void)data;
    return aligned_alloc(alignment, size);
}

static void aligned_free(void *data, size_t alignment, void *p)
{
    (void)data;
    (void)alignment;
    free(p);
}

void raft_junk_use(void)
{
    static struct raft_heap heap = { NULL,          junk_malloc,   plain_free,  plain_calloc,
                                     plain_realloc, plain_aligned, aligned_free };
    raft_heap_set(&heap);
}
