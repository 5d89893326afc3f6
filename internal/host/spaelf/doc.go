// SPDX-License-Identifier: Apache-2.0

// Package spaelf reads stream processing agents (SPAs): checks their ELF files
// and relocates them to the base of a sandbox's slice.
//
// An SPA is a static position-independent ELF file for x86-64 whose addresses
// are offsets in a slice (see kmod/uapi/uls_shm.h). What the kernel will map is
// the PT_LOAD segments; what it will never see is the rest: relocations are
// applied here, and the notes of owner "ULS" tell name, version, stack, heap,
// parameters and counters.
//
// Nothing here is trusted by the kernel, which checks segments and entry again.
// The checks exist so that a bad file is refused early, with a reason a person
// can act upon, on any machine and without privileges.
package spaelf
