/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upcall.h - runs an upcall in one of two ways: linked.c calls the library as
 * a part of the test program (sanitizers see into it); spafile.c runs a real .spa
 * file, relocated as the loader does it, through its entry point, and answers
 * its `syscall`s.
 */
#ifndef UPCALL_H
#define UPCALL_H

#include <stdbool.h>
#include <stdint.h>

#include "slice.h"

struct outcome {
	int64_t result;		/* of RETURN */
	bool aborted;		/* by ULS_SYS_ABORT, code below */
	uint64_t code;
	int signal;		/* spafile.c: the fault's signal, or 0 */
	uint64_t addr;		/* of the fault */
	int64_t bad_service;	/* spafile.c: number of a call that is no service, or -1 */
	uint64_t steps;		/* spafile.c, when counting: instructions, the last syscall included */
};

struct outcome upcall(struct slice *s, uint64_t reason, uint64_t arg);

/* Sends a control message; the mailbox is written first. */
struct outcome control(struct slice *s, const void *msg, uint16_t type, uint16_t len);

/* What CLOCK answers. */
extern uint64_t fake_now;

#endif /* UPCALL_H */
