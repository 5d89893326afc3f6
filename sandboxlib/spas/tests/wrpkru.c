// SPDX-License-Identifier: Apache-2.0
/* Writes PKRU and returns: an abort or no effect on the interrupted process. Needs CR4.PKE, else #UD. */
#include "fault.h"

FAULT("wrpkru")
{
	__asm__ volatile("wrpkru" : : "a"(0xfffffffc), "c"(0), "d"(0));
}
