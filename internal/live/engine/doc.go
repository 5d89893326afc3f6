// SPDX-License-Identifier: Apache-2.0

// Package engine runs stream processing agents (SPAs) inside the daemon.
//
// An SPA is C against sandboxlib's spa.h. In the kernel's sandbox it is an ELF
// file and sees the network card's rings; here it is the same source compiled
// to WebAssembly, run by wazero, and what it sees is laid out the same way in
// its linear memory: struct uls_info, mailbox, counters, log, heap, the pool
// and the four rings. The engine plays kernel and card. The library inside the
// SPA is the same code too, so results are the same, byte for byte; a test
// runs both on the same frames.
//
//	p := engine.NewPortable(ctx)
//	defer p.Close()
//	f, err := p.Load(ctx, "filter", nil, engine.Limits{}) // nil: the one shipped
//	err = f.Set("keyframes", 1)
//	err = f.Batch(datagrams, func(out int, pkt []byte) { send(out, pkt) })
//	err = f.Tick(emit) // every f.TickEvery(), when that is not 0
//
// Datagrams are the overlay's: the 64-byte data header and the payload. In
// front of each the engine puts 42 bytes of Ethernet, IPv4 and UDP header, and
// takes them off what comes back. The destination address there is 10.0.0.0 plus the
// number of an output: datagrams arrive for output 0, and an SPA that
// readdresses one (split, multicast, forward) chooses another. Addr gives the
// address of an output, for parameters.
//
// # Limits
//
// One instance has its own runtime, memory and limit of memory. Time is bounded by
// fuel: before it is compiled, the module is rewritten so that each function
// and each turn of a loop takes from a counter, which the engine fills before
// each upcall. The same input so takes the same fuel on every machine, and
// there is no timer or goroutine per upcall. (wazero's own means, a context
// that ends, leaves the compiled code at each turn of each loop: measured, that
// makes an SPA six to eight times as expensive.)
//
// A trap, an overrun or spa_abort ends that instance alone: the call returns an
// *AbortError, and so does every call after it. Others go on.
package engine
