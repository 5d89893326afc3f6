// SPDX-License-Identifier: Apache-2.0
/* Reads address 0: #PF, nothing is mapped in the private half. */
#include "fault.h"

FAULT("null-read")
{
	peek(0);
}
