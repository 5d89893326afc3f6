// SPDX-License-Identifier: Apache-2.0
/* Reads a non-canonical address: #GP. */
#include "fault.h"

FAULT("noncanonical-read")
{
	peek(0x8000000000000000ULL);
}
