/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SPAFILE_H
#define SPAFILE_H

#include "slice.h"

/*
 * Maps a .spa into the slice: segments with their rights, relocations applied.
 * An image that was there before is replaced. Exits the program on a file that
 * is not right: the test cannot go on.
 */
void elf_load(struct slice *s, const char *path);

/* Counts instructions in the next upcalls (single-stepped). */
extern bool elf_count_steps;

/* While counting: cuts the upcall off after so many instructions; 0: never. */
extern uint64_t elf_cut_after;

/* The manifest of the file loaded last. */
extern struct uls_manifest elf_manifest;

/* Number of the counter or parameter of that name in the file loaded last; exits when there is none. */
unsigned int elf_counter(const char *name);
unsigned int elf_param(const char *name);

#endif /* SPAFILE_H */
