// SPDX-License-Identifier: Apache-2.0

package netem

// flight is a packet on its way. buf begins with room for the device's header.
type flight struct {
	due      int64 // ns since the start
	n        uint64
	sent     int64
	from, to int
	buf      []byte
}

// before orders flights by arrival; at the same time the first sent is first.
func (f *flight) before(g *flight) bool {
	return f.due < g.due || f.due == g.due && f.n < g.n
}

// flights is a binary heap. container/heap would allocate for each packet.
type flights []flight

func (h *flights) push(f flight) {
	*h = append(*h, f)
	s := *h
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if !s[i].before(&s[up]) {
			return
		}
		s[i], s[up] = s[up], s[i]
		i = up
	}
}

// pop takes the first out; the heap must not be empty.
func (h *flights) pop() flight {
	s := *h
	first, last := s[0], len(s)-1
	s[0] = s[last]
	s[last] = flight{}
	s = s[:last]
	*h = s
	for i := 0; ; {
		least := i
		for _, c := range [2]int{2*i + 1, 2*i + 2} {
			if c < len(s) && s[c].before(&s[least]) {
				least = c
			}
		}
		if least == i {
			return first
		}
		s[i], s[least] = s[least], s[i]
		i = least
	}
}
