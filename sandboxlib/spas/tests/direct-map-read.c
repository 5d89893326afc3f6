// SPDX-License-Identifier: Apache-2.0
/* Reads the direct map of physical memory (parameter arg; by default where it begins without KASLR): #PF. */
#include "fault.h"

#undef FAULT_ARG
#define FAULT_ARG 0xffff888000000000ULL
FAULT("direct-map-read")
{
	peek(SPA_PARAM(arg));
}
