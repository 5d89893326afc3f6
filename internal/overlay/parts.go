// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"errors"
	"fmt"
	"slices"
)

// Part is one of the streams that a split stream is sent as, each over a tree of its own.
// To the core they are streams like others; what belongs together is the driver's to know.
type Part struct {
	ID     StreamID `cbor:"1,keyasint"`
	Weight uint16   `cbor:"2,keyasint"` // its share of the packets is Weight over the sum of all
}

// MaxParts is how many parts a stream has at most.
const MaxParts = 4

// checkParts refuses lists that do not say which part the stream is.
func (i *StreamInfo) checkParts() error {
	if len(i.Parts) == 0 {
		return nil
	}
	if len(i.Parts) == 1 {
		return errors.New("one part is no split stream")
	}
	err := most("parts", len(i.Parts), MaxParts)
	own := false
	for j, p := range i.Parts {
		own = own || p.ID == i.ID
		if p.Weight == 0 || slices.ContainsFunc(i.Parts[:j], func(q Part) bool { return q.ID == p.ID }) {
			err = errors.Join(err, fmt.Errorf("part %d has no weight or comes twice", j))
		}
	}
	if !own {
		err = errors.Join(err, errors.New("the stream is none of its parts"))
	}
	return err
}

// Share is how much of a split stream this part carries: 1 if it is not split.
func (i *StreamInfo) Share() float64 {
	var own, sum float64
	for _, p := range i.Parts {
		sum += float64(p.Weight)
		if p.ID == i.ID {
			own += float64(p.Weight)
		}
	}
	if own == 0 {
		return 1
	}
	return own / sum
}

// scale asks of a part no more than its share of the rate.
func (u *sub) scale(i *StreamInfo) {
	if len(i.Parts) == 0 && u.asked == 0 {
		return
	}
	if u.asked == 0 {
		u.asked = u.contract.MinRateBps
	}
	u.contract.MinRateBps = uint64(float64(u.asked) * i.Share())
}

// SubscribeAvoiding is Subscribe for a part of a stream whose other parts come
// over the hosts avoid, at most 8: the first path it gets leads over none of them.
func (n *Node) SubscribeAvoiding(now Time, id StreamID, name string, c Contract, avoid []HostID) (SubID, error) {
	if err := most("hosts to avoid", len(avoid), maxAvoid); err != nil {
		return 0, fmt.Errorf("subscribe: %w", err)
	}
	return n.subscribe(now, id, name, c, avoid)
}
