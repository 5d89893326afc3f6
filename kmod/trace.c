// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module's trace events, which trace.h describes.
 *
 * Owns their definitions and nothing else; they stand here so that whoever
 * traces need not reach up to main.c.
 */
#define CREATE_TRACE_POINTS
#include "trace.h"
