// SPDX-License-Identifier: Apache-2.0

//go:build !race

package simnet

// raceDetector: TestFingerprint plays two seeds then; make test-go plays all of them apart.
const raceDetector = false
