// SPDX-License-Identifier: Apache-2.0

package nettest

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"sandstream/overlayapi"
	"sandstream/overlayapi/overlayv1"
)

// claim is the right to a zone: the zone's digits and the epoch's counter and host.
type claim struct {
	digits  string
	counter uint64
	owner   string
}

// Ownership watches who says that it owns which zone.
type Ownership struct {
	mu     sync.Mutex
	holder map[claim]int // the host that was seen to own by this claim
	wrong  []string
	polls  int
}

// NewOwnership has seen nothing.
func NewOwnership() *Ownership { return &Ownership{holder: map[claim]int{}} }

// Add takes what host i says it owns. A host that owns by an epoch which another host
// has used, now or ever before, breaks the promise of one owner per (id, epoch).
func (o *Ownership) Add(i int, s *overlayv1.StatusResponse) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.polls++
	for _, z := range s.GetZones() {
		c := claim{z.GetDigits(), z.GetCounter(), z.GetOwner().GetId()}
		if c.owner != s.GetSelf().GetId() {
			o.wrong = append(o.wrong, fmt.Sprintf("host %d owns %s by the epoch (%d, %.8s), which is another's", i, c.digits, c.counter, c.owner))
		}
		if other, ok := o.holder[c]; ok && other != i {
			o.wrong = append(o.wrong, fmt.Sprintf("hosts %d and %d both own %s by the epoch (%d, %.8s)", other, i, c.digits, c.counter, c.owner))
		}
		o.holder[c] = i
	}
}

// Wrong lists the violations.
func (o *Ownership) Wrong() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.wrong)
}

// Polls is how many statuses were looked at, Claims how many different claims they had.
func (o *Ownership) Polls() (polls, claims int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.polls, len(o.holder)
}

// Tiling says what keeps the zones that hosts own from covering every id exactly once:
// zones[i] are the digits of host i's zones. Nil: they do.
func Tiling(radix int, zones map[int][]string) error {
	type owned struct {
		digits string
		host   int
	}
	var all []owned
	for _, i := range slices.Sorted(maps.Keys(zones)) {
		if len(zones[i]) == 0 {
			return fmt.Errorf("host %d owns nothing", i)
		}
		for _, d := range zones[i] {
			all = append(all, owned{strings.TrimPrefix(d, "*"), i})
		}
	}
	// Sorted, a prefix comes right before what begins with it.
	slices.SortFunc(all, func(a, b owned) int { return strings.Compare(a.digits, b.digits) })
	covered := 0.0 // sums of powers of 1/2 are exact, of 1/3 good to 1e-12 here
	for i, z := range all {
		if i > 0 && strings.HasPrefix(z.digits, all[i-1].digits) {
			return fmt.Errorf("hosts %d and %d both own ids that begin with %q", all[i-1].host, z.host, z.digits)
		}
		covered += math.Pow(float64(radix), -float64(len(z.digits)))
	}
	if math.Abs(covered-1) > 1e-9 {
		return fmt.Errorf("%.4g of all ids are without owner", 1-covered)
	}
	return nil
}

// poll asks each host for its status, all at once. A host that does not answer in time
// has no entry.
func poll(ctx context.Context, clients map[int]*overlayapi.Client) map[int]*overlayv1.StatusResponse {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := map[int]*overlayv1.StatusResponse{}
	for i, c := range clients {
		wg.Go(func() {
			r, err := c.Status(ctx, connect.NewRequest(&overlayv1.StatusRequest{}))
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				got[i] = r.Msg
			}
		})
	}
	wg.Wait()
	return got
}

// whole says what keeps the hosts from being one overlay: every one answers, is a
// member, and together they own every id once.
func whole(ctx context.Context, clients map[int]*overlayapi.Client, o *Ownership) error {
	status := poll(ctx, clients)
	zones := map[int][]string{}
	radix := 0
	for _, i := range slices.Sorted(maps.Keys(clients)) {
		s, ok := status[i]
		if !ok {
			return fmt.Errorf("host %d does not answer", i)
		}
		o.Add(i, s)
		if s.GetState() != "member" {
			return fmt.Errorf("host %d is %s", i, s.GetState())
		}
		radix = int(s.GetRadix())
		for _, z := range s.GetZones() {
			zones[i] = append(zones[i], z.GetDigits())
		}
		if len(zones[i]) == 0 {
			zones[i] = nil
		}
	}
	return Tiling(radix, zones)
}
