// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"cmp"
	"slices"

	"sandstream/internal/overlay"
)

func sortZones(v []overlay.Zone) {
	slices.SortFunc(v, func(a, b overlay.Zone) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Len, b.Len))
	})
}
