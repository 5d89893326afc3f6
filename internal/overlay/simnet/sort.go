// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"cmp"
	"slices"

	"sandstream/internal/overlay/wire"
)

func sortZones(v []wire.Zone) {
	slices.SortFunc(v, func(a, b wire.Zone) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Len, b.Len))
	})
}
