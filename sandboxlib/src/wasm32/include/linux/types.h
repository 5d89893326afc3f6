/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The integer types of <linux/types.h> that uls_shm.h needs, for a target
 * whose C environment has no Linux headers.
 */
#ifndef SPA_WASM32_LINUX_TYPES_H
#define SPA_WASM32_LINUX_TYPES_H

#include <stdint.h>

typedef uint8_t __u8;
typedef uint16_t __u16;
typedef uint32_t __u32;
typedef unsigned long long __u64;
typedef int32_t __s32;
typedef long long __s64;

_Static_assert(sizeof(__u64) == 8, "64-bit integers");

#endif /* SPA_WASM32_LINUX_TYPES_H */
