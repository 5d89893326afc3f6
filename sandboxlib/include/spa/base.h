/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spa/base.h - types, byte order, error numbers and memory functions.
 *
 * Everything here compiles for x86-64 and for wasm32: no inline assembly.
 */
#ifndef SPA_BASE_H
#define SPA_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uls_shm.h"

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;

/* Numbers in network byte order; a plain integer to the compiler. */
typedef u16 be16;
typedef u32 be32;

#define SPA_PACKED __attribute__((packed))
#define SPA_ALIGNED(n) __attribute__((aligned(n)))
#define SPA_COLD __attribute__((cold, noinline))
#define SPA_UNUSED __attribute__((unused))
#define SPA_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define spa_likely(x) __builtin_expect(!!(x), 1)
#define spa_unlikely(x) __builtin_expect(!!(x), 0)
#define spa_array_size(a) (sizeof(a) / sizeof((a)[0]))

/* Error numbers of callbacks: return -SPA_EINVAL. Linux's values, since the kernel hands them on to ulsctl. */
enum {
	SPA_ENOENT = 2,
	SPA_ENOMEM = 12,
	SPA_EBUSY = 16,
	SPA_EEXIST = 17,
	SPA_EINVAL = 22,
	SPA_ENOSPC = 28,
	SPA_ERANGE = 34,
	SPA_EPROTO = 71,
	SPA_EOPNOTSUPP = 95,
};

#define SPA_CACHELINE 64

/* Byte order. Every target of the library is little-endian; the build stops on another. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian targets only");

static inline u16 spa_bswap16(u16 v) { return __builtin_bswap16(v); }
static inline u32 spa_bswap32(u32 v) { return __builtin_bswap32(v); }
static inline u64 spa_bswap64(u64 v) { return __builtin_bswap64(v); }
static inline u16 spa_ntohs(be16 v) { return spa_bswap16(v); }
static inline be16 spa_htons(u16 v) { return spa_bswap16(v); }
static inline u32 spa_ntohl(be32 v) { return spa_bswap32(v); }
static inline be32 spa_htonl(u32 v) { return spa_bswap32(v); }

/*
 * Loads and stores that need no alignment. Frames begin on even addresses at
 * best, so nothing past the Ethernet header may be read through an aligned
 * pointer. Each compiles to one instruction.
 */
static inline u16 spa_get16(const void *p)
{
	u16 v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

static inline u32 spa_get32(const void *p)
{
	u32 v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

static inline u64 spa_get64(const void *p)
{
	u64 v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

static inline void spa_put16(void *p, u16 v) { __builtin_memcpy(p, &v, sizeof(v)); }
static inline void spa_put32(void *p, u32 v) { __builtin_memcpy(p, &v, sizeof(v)); }
static inline void spa_put64(void *p, u64 v) { __builtin_memcpy(p, &v, sizeof(v)); }

/* The usual C functions; compilers also call them on their own account. */
void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);

#endif /* SPA_BASE_H */
