/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The background: processes that only compute, with a working set of one page.
 * Each counts its progress in a word of shared memory.
 */
#ifndef HOG_H
#define HOG_H

#include <stdint.h>

#define HOG_MAX		1024
#define HOG_UNIT	512	/* instructions of one unit of progress, at least */

void hogs_start(int n);		/* exits with a message when it cannot */
void hogs_stop(void);
uint64_t hogs_progress(void);	/* units, all processes together */

#endif
