// SPDX-License-Identifier: Apache-2.0

// Command architecture prints, draws and checks how the packages of this
// repository depend on each other. `make lint` runs its checks.
//
//	go run ./internal/architecture deps      the packages from top to bottom, with what each imports
//	go run ./internal/architecture svg       the same as a picture (docs/pictures/packages.svg)
//	go run ./internal/architecture rules     the import rules, each with its reason
//	go run ./internal/architecture imports   check the import rules
//	go run ./internal/architecture calls     check that the core's source has no clock, chance or goroutine
//	go run ./internal/architecture structs   check the size of the core's structs, and list the largest
//	go run ./internal/architecture cover     check what each machine's own tests cover
//	go run ./internal/architecture lint      imports, calls, structs and cover
//
// A new package needs a place in rooms.go. A new rule is one entry in
// ruletable.go and one made-up import in rules_test.go that shows it to fail.
//
// # Why no linter from the shelf
//
// depguard v2.3.0 was tried as a command of its own on this tree. It takes
// 79 s the first time and 6 s afterwards, where go list and this command take
// less than one; and it judges each import alone. The rules here that matter
// most are about what a package reaches in the end (the daemon must not get the
// paper's model through some third package), about packages that were never
// mentioned (a new package needs a place), and about calls rather than imports
// (time.Now in the core), which depguard cannot say. A table of Go values is
// also tested like any other code: for each rule a made-up graph shows that
// it fails when it is broken.
package main
