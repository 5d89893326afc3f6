// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"regexp"
	"strings"
)

// splat matches the kernel's complaints about itself. A program's own misfortune
// ("traps: spa[12] general protection fault") is not one.
var splat = regexp.MustCompile(strings.Join([]string{
	`\bBUG: `, `\bWARNING: `, `\bOops\b`, `Kernel panic`, `kernel BUG at`, `Unable to handle kernel`,
	`\bKASAN: `, `\bUBSAN: `, `\bKCSAN: `, `DMA-API: .*(error|warning|leaked|device driver)`,
	`INFO: (possible|inconsistent|suspicious|task .* blocked|trying to register)`,
	`possible (recursive|circular) locking`, `inconsistent lock state`, `suspicious RCU usage`,
	`detected (expedited )?stalls`, `self-detected stall`, `soft lockup`, `hard LOCKUP`,
	`sleeping function called from invalid`, `scheduling while atomic`, `bad page`, `Bad page state`,
	`new suspected memory leaks`, `ODEBUG: `, `unregister_netdevice: waiting`, `list_(add|del) corruption`,
	`double fault`, `stack guard page was hit`, `corrupted stack end`, `refcount_t: `, `NETDEV WATCHDOG`,
	`Unpatched return thunk`,
}, "|"))

// Splats returns the lines of a kernel log that tell of a fault of the kernel,
// except those an allowed expression matches.
func Splats(log string, allowed ...*regexp.Regexp) []string {
	var found []string
next:
	for _, line := range strings.Split(log, "\n") {
		if !splat.MatchString(line) {
			continue
		}
		for _, a := range allowed {
			if a.MatchString(line) {
				continue next
			}
		}
		found = append(found, strings.TrimRight(line, "\r"))
	}
	return found
}
