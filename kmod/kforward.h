/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel-thread forwarder, for comparison with a sandbox.
 */
#ifndef _ULS_KFORWARD_H
#define _ULS_KFORWARD_H

int uls_kforward_init(void);
void uls_kforward_exit(void);

#endif /* _ULS_KFORWARD_H */
