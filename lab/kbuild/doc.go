// SPDX-License-Identifier: Apache-2.0

// Package kbuild builds the patched lab kernel and the out-of-tree module.
//
// It starts from the source tarball of Debian's linux-source package, applies the
// series in kernel-patches/, merges tinyconfig with the fragments of the chosen
// [Variant], builds, and keeps everything in a cache outside the project:
//
//	CACHE/kernel/tree-<version>/            the unpacked source, with the series applied
//	CACHE/kernel/orig-<version>/            pristine copies of every file a series ever touched
//	CACHE/kernel/obj-<version>-<variant>/   the object directory (make O=)
//	CACHE/kernel/out/<key>/                 a finished kernel: bzImage, System.map, config, meta.json
//	CACHE/module/<variant>/                 the copy of kmod/ that is compiled, and uls.ko
//
// <key> is a digest of everything that can change the result: source package,
// patches, fragments, compiler and linker, and the fixed KBUILD_BUILD_* words. When
// out/<key> is there and the object directory carries the same key, a build takes
// milliseconds. When only a patch changed, only the files whose patched content
// differs are rewritten, so make recompiles little.
//
// A finished kernel appears by rename, and the key is removed from the object
// directory before make starts: an interrupted build leaves nothing that looks
// finished. Locks keep builds that share a cache apart.
package kbuild
