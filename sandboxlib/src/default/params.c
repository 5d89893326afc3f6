// SPDX-License-Identifier: Apache-2.0
/* In place of a missing SPA_PARAMS: no parameters. */
#include "../lib.h"

const struct spa_note_param spa_param_notes[1];
u64 spa_param_values[1];
const u32 spa_param_count;
