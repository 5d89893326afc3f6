// SPDX-License-Identifier: Apache-2.0

// Package points runs the end-host experiments' points: boots of the lab guest
// that load the generator, set up one contender, and measure.
//
//	env, err := points.Open(ctx, run)            // builds kernel, module, image if need be
//	out, err := env.Boots(ctx, run, boots)       // at most two machines at a time
//
// A boot is one machine from power-on to power-off; what it printed is an
// [Outcome]. Outcomes are kept in the run's folder, points/NAME.json and
// points/NAME.FILE, so that an interrupted run can be resumed: an outcome counts
// only for the very image, machine and job it came from (its key).
//
// In an exact boot guest time counts instructions and nothing depends on the
// host, so an outcome has one value, not a distribution: running it again gives
// the same bytes. 'experiments repeat' checks that.
//
// The package knows cobra, which otherwise only the commands do: all end-host
// experiments are one command ([Experiment]) with one set of flags ([Flags]),
// and that form is kept here, beside the levels and contenders that the flags
// choose from, not once in each experiment.
package points
