// SPDX-License-Identifier: Apache-2.0

// Package layers holds the files of a kernel module against a written order, in
// which none calls upwards.
//
// The order is a text file named "layers" in the module's folder. Its lines are
// layers, the lowest first; its words are files without their endings, and each
// may use what stands before it: call its functions, use its variables, include
// its header. Since the order is total, files that keep it call in no circle.
//
// Two things are looked at, for neither sees everything. Compiled objects show
// which global symbol of which file the instructions of another refer to, after
// all macros; a symbol that is only entered in a table of operations is a
// call-back, not a call, and does not count. Sources show which header a file
// includes, also where this kernel's configuration leaves no instruction of it.
package layers
