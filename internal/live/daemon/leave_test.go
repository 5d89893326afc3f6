// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"testing"
	"time"
)

// All hosts stop at once: each ends well, though nobody takes its ids over.
func TestAllStop(t *testing.T) {
	ds := overlayOf(t, 5)
	start := time.Now()
	errs := make(chan error, len(ds))
	for _, d := range ds {
		go func() { errs <- d.Leave(context.Background()) }()
	}
	for range ds {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	t.Logf("stopped after %v", time.Since(start))
}
