// SPDX-License-Identifier: Apache-2.0

package turn

import "sandstream/internal/overlay/wire"

// Effect is something a host wants done. The driver takes them after each turn and
// carries them out in order. Each machine has effects of its own.
type Effect interface{ Effect() }

// Send asks for a message to be sent. It may be lost: what matters is sent
// again until it is answered.
type Send struct {
	To  wire.Peer
	Msg wire.Message
}

// Event is for the log and for counters: Kind is a word, e.g. "peer-dead".
type Event struct {
	Kind   string
	Host   wire.Peer
	Detail string
}

// Effect marks Send as an effect.
func (Send) Effect() {}

// Effect marks Event as an effect.
func (Event) Effect() {}

// Emit adds an effect.
func (t *Turn) Emit(e Effect) { t.fx = append(t.fx, e) }

// Effects gives what is to be done since the last call, in order.
func (t *Turn) Effects(yield func(Effect)) {
	// A driver may call back into the host only after Effects returned.
	fx := t.fx
	for i, e := range fx {
		yield(e)
		fx[i] = nil
	}
	t.fx = fx[:0]
}
