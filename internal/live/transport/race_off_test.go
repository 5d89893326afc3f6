// SPDX-License-Identifier: Apache-2.0

//go:build !race

package transport

// raceDetector: what a host takes is not measured then, and there are fewer datagrams.
const raceDetector = false
