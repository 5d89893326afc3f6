// SPDX-License-Identifier: Apache-2.0
/* In place of a missing SPA_COUNTERS: the library's own only. */
#include "../lib.h"

const struct spa_note_counter spa_counter_notes[1];
const u32 spa_counter_count;
