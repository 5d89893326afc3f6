// SPDX-License-Identifier: Apache-2.0
/* No spa_rx(): the linker must name it. */
#include "spa.h"

SPA_MANIFEST("no-rx", "1.0");

int spa_init(void)
{
	return 0;
}
