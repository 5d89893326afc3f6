/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spa/log.h - formatted text, into a buffer or into the log that `ulsctl log`
 * reads.
 *
 * Formats: %d %i %u %x %X %o %c %s %p %%, with the flags 0 - + # and space, a
 * width, a precision (both may be *), and the lengths hh h l ll z t j. As in
 * the kernel, %pI4 takes a pointer to an IPv4 address in network order, %pI6 a
 * pointer to 16 bytes, %pM a pointer to a MAC address. No floating point.
 */
#ifndef SPA_LOG_H
#define SPA_LOG_H

#include "spa/base.h"

/* As C's: at most n bytes with the NUL; returns the length the whole text would have. */
int spa_snprintf(char *buf, size_t n, const char *fmt, ...) SPA_PRINTF(3, 4);
int spa_vsnprintf(char *buf, size_t n, const char *fmt, va_list ap) SPA_PRINTF(3, 0);

/* One line, of at most SPA_LOG_LINE bytes; the newline is added when missing. Never blocks; old lines give way. */
#define SPA_LOG_LINE 240
void spa_log(const char *fmt, ...) SPA_PRINTF(1, 2);

#endif /* SPA_LOG_H */
