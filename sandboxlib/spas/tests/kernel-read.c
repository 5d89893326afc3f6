// SPDX-License-Identifier: Apache-2.0
/* Reads kernel memory (parameter arg; by default the start of kernel text): #PF with the user bit. */
#include "fault.h"

#undef FAULT_ARG
#define FAULT_ARG 0xffffffff81000000ULL
FAULT("kernel-read")
{
	peek(SPA_PARAM(arg));
}
