// SPDX-License-Identifier: Apache-2.0
/* Reads where user stacks end (parameter arg; by default the last page of user space): #PF, the interrupted process is not there. */
#include "fault.h"

#undef FAULT_ARG
#define FAULT_ARG 0x7fffffffe000ULL
FAULT("user-stack-read")
{
	peek(SPA_PARAM(arg));
}
