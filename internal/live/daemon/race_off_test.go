// SPDX-License-Identifier: Apache-2.0

//go:build !race

package daemon

// raceDetector: what an idle host takes is not measured then; make test-go does it apart.
const raceDetector = false
