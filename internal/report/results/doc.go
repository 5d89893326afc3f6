// SPDX-License-Identifier: Apache-2.0

// Package results is what experiments print and leave behind: tables for the
// terminal, CSV and JSON for machines, plots, and the facts without which a
// figure means nothing (command, seed, clock, host).
//
//	run, err := results.Open(cmd, results.Meta{Experiment: "jitter", Seed: 7, Clock: "guest virtual time"})
//	...
//	bar := run.Progress("levels", len(levels)) // bar on a terminal, plain lines elsewhere
//	for ... { bar.Add(1) }
//	bar.Done()
//	run.Table(&results.Table{Name: "pdv", Columns: ..., Rows: ...}) // stdout + pdv.csv
//	run.Chart(&plot.Chart{Name: "pdv", ...})                        // pdv.svg, pdv.png
//	return run.Close(err)                                           // result.json; err says what is missing
//
// Nothing is ever overwritten: each run has a folder of its own,
// <results>/<UTC time>-<commit>-<experiment>/. CSV files hold no time, host
// or path, so the same seed gives the same bytes; those facts are in
// result.json.
package results
