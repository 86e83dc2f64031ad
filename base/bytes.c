/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes, owned buffers and secrets.
 *
 * Secrets come from a pool of pages of our own: blocks of powers of two, cut
 * from chunks that are locked where RLIMIT_MEMLOCK allows (else they stay
 * unlocked: the core locks its whole process anyway) and left out of core
 * dumps. A block is wiped when it is dropped and goes back to its list; chunks
 * are kept for the life of the process, so what they hold is bounded by the
 * peak of use. Larger secrets are mappings of their own. Each block begins
 * with a head that says its class, so an owner may shorten secret.size.
 *
 * Under AddressSanitizer every secret is a malloc of its own, so that an
 * overrun or a leak of one is seen. Any thread; one lock guards the lists. */
#include "base/bytes.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BLOCK_MIN_SHIFT 6u
#define BLOCK_MAX_SHIFT 17u
#define BLOCK_CLASSES (BLOCK_MAX_SHIFT - BLOCK_MIN_SHIFT + 1u)
#define CHUNK_SIZE 65536u
#define BLOCK_MAGIC 0x52696e67u
#define CLASS_MAPPED 0xffffu

/* Stands before the bytes of every secret; 16 bytes keep their alignment. */
struct head {
    uint32_t magic;
    uint32_t class_index;
    uint64_t total; /* bytes of the block with its head */
};

_Static_assert(sizeof(struct head) == 16, "the head keeps 16-byte alignment");

struct bytes bytes_of_text(const char *text)
{
    assert(text != NULL);
    return bytes_of(text, strlen(text));
}

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool bytes_all_zero(struct bytes b)
{
    uint8_t all = 0;
    for (size_t i = 0; i < b.size; i++) {
        all |= b.data[i];
    }
    return all == 0;
}

enum err buf_reserve(struct buf *b, size_t more, size_t limit, uint8_t **out)
{
    assert(b->size <= b->capacity);
    if (b->size > limit || more > limit - b->size) {
        return ERR_TOO_LARGE;
    }
    const size_t need = b->size + more;
    if (need > b->capacity || b->data == NULL) {
        size_t capacity = b->capacity < 64 ? 64 : b->capacity;
        while (capacity < need) {
            capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
        }
        /* Not realloc: what the old place held is wiped. */
        uint8_t *data = malloc(capacity);
        if (data == NULL) {
            return ERR_NOMEM;
        }
        if (b->size > 0) {
            memcpy(data, b->data, b->size);
        }
        if (b->data != NULL) {
            bytes_wipe(b->data, b->capacity);
            free(b->data);
        }
        b->data = data;
        b->capacity = capacity;
    }
    *out = b->data + b->size;
    return ERR_OK;
}

enum err buf_append(struct buf *b, struct bytes more, size_t limit)
{
    uint8_t *at = NULL;
    /* Growing would free what `more` points into. */
    assert(b->data == NULL || more.size == 0 || more.data + more.size <= b->data ||
           more.data >= b->data + b->capacity);
    TRY(buf_reserve(b, more.size, limit, &at));
    if (more.size > 0) {
        memcpy(at, more.data, more.size);
        b->size += more.size;
    }
    return ERR_OK;
}

void buf_consume(struct buf *b, size_t count)
{
    assert(count <= b->size);
    if (count > 0 && count < b->size) {
        memmove(b->data, b->data + count, b->size - count);
    }
    b->size -= count;
}

void buf_clear(struct buf *b)
{
    b->size = 0;
}

void buf_drop(struct buf *b)
{
    if (b->data != NULL) {
        bytes_wipe(b->data, b->capacity);
        free(b->data);
    }
    *b = (struct buf){ 0 };
}

#ifdef RINGKEEP_ASAN
static struct head *take_block(size_t total)
{
    struct head *h = calloc(1, total);
    if (h != NULL) {
        h->total = total;
    }
    return h;
}

static void give_block(struct head *h)
{
    bytes_wipe(h, h->total);
    free(h);
}
#else
struct free_block {
    struct free_block *next;
};

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static struct free_block *pool_free[BLOCK_CLASSES];

/* Zeroed pages outside core dumps, locked if the process may. */
static void *map_pages(size_t size)
{
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        return NULL;
    }
    (void)madvise(pages, size, MADV_DONTDUMP);
    (void)mlock(pages, size);
    return pages;
}

static uint32_t class_for(size_t total)
{
    uint32_t index = 0;
    while (((size_t)1 << (BLOCK_MIN_SHIFT + index)) < total) {
        index++;
    }
    return index;
}

/* Under the lock: cuts a new chunk into free blocks of one class. */
static bool refill(uint32_t index)
{
    const size_t block = (size_t)1 << (BLOCK_MIN_SHIFT + index);
    const size_t chunk = block > CHUNK_SIZE ? block : CHUNK_SIZE;
    uint8_t *pages = map_pages(chunk);
    if (pages == NULL) {
        return false;
    }
    for (size_t at = chunk; at > 0; at -= block) {
        void *place = pages + at - block;
        struct free_block *f = place;
        f->next = pool_free[index];
        pool_free[index] = f;
    }
    return true;
}

static struct head *take_pooled(uint32_t index)
{
    struct head *h = NULL;
    pthread_mutex_lock(&pool_lock);
    if (pool_free[index] != NULL || refill(index)) {
        struct free_block *f = pool_free[index];
        pool_free[index] = f->next;
        f->next = NULL; /* the rest was wiped when it came back */
        h = (void *)f;
    }
    pthread_mutex_unlock(&pool_lock);
    return h;
}

static struct head *take_block(size_t total)
{
    struct head *h = NULL;
    uint32_t index = CLASS_MAPPED;
    if (total <= (size_t)1 << BLOCK_MAX_SHIFT) {
        index = class_for(total);
        h = take_pooled(index);
        total = (size_t)1 << (BLOCK_MIN_SHIFT + index);
    } else {
        h = map_pages(total);
    }
    if (h != NULL) {
        h->class_index = index;
        h->total = total;
    }
    return h;
}

static void give_block(struct head *h)
{
    const uint32_t index = h->class_index;
    const size_t total = h->total;
    bytes_wipe(h, total);
    if (index == CLASS_MAPPED) {
        (void)munmap(h, total);
        return;
    }
    assert(index < BLOCK_CLASSES);
    struct free_block *f = (void *)h;
    pthread_mutex_lock(&pool_lock);
    f->next = pool_free[index];
    pool_free[index] = f;
    pthread_mutex_unlock(&pool_lock);
}
#endif

enum err secret_alloc(struct secret *s, size_t size)
{
    assert(s->data == NULL && s->size == 0);
    if (size > SIZE_MAX - sizeof(struct head)) {
        return ERR_NOMEM;
    }
    struct head *h = take_block(size + sizeof(struct head));
    if (h == NULL) {
        return ERR_NOMEM;
    }
    h->magic = BLOCK_MAGIC;
    s->data = (uint8_t *)h + sizeof(struct head);
    s->size = size;
    return ERR_OK;
}

enum err secret_copy(struct secret *s, struct bytes from)
{
    TRY(secret_alloc(s, from.size));
    if (from.size > 0) {
        memcpy(s->data, from.data, from.size);
    }
    return ERR_OK;
}

struct secret secret_take(struct secret *s)
{
    struct secret moved = *s;
    *s = (struct secret){ 0 };
    return moved;
}

void secret_drop(struct secret *s)
{
    if (s->data != NULL) {
        struct head *h = (void *)(s->data - sizeof(struct head));
        assert(h->magic == BLOCK_MAGIC && s->size <= h->total - sizeof(struct head));
        give_block(h);
    }
    *s = (struct secret){ 0 };
}

bool secret_equal(struct bytes a, struct bytes b)
{
    if (a.size != b.size) {
        return false;
    }
    const volatile uint8_t *left = a.data;
    const volatile uint8_t *right = b.data;
    uint8_t differ = 0;
    for (size_t i = 0; i < a.size; i++) {
        differ = (uint8_t)(differ | (left[i] ^ right[i]));
    }
    return differ == 0;
}

void bytes_wipe(void *data, size_t size)
{
    if (size > 0) {
        explicit_bzero(data, size);
    }
}

char *hex_from(struct bytes b, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < b.size; i++) {
        out[2 * i] = digits[b.data[i] >> 4];
        out[2 * i + 1] = digits[b.data[i] & 15];
    }
    out[2 * b.size] = '\0';
    return out;
}

/* 0..15, or 16 for what is no digit. */
static uint8_t digit_value(char c)
{
    if (c >= '0' && c <= '9') {
        return (uint8_t)(c - '0');
    }
    if (c >= 'a' && c <= 'f') {
        return (uint8_t)(c - 'a' + 10);
    }
    if (c >= 'A' && c <= 'F') {
        return (uint8_t)(c - 'A' + 10);
    }
    return 16;
}

enum err hex_to(const char *text, uint8_t *out, size_t size)
{
    if (strnlen(text, 2 * size + 1) != 2 * size) {
        return ERR_MALFORMED;
    }
    for (size_t i = 0; i < 2 * size; i++) {
        if (digit_value(text[i]) > 15) {
            return ERR_MALFORMED;
        }
    }
    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)(digit_value(text[2 * i]) << 4 | digit_value(text[2 * i + 1]));
    }
    return ERR_OK;
}
