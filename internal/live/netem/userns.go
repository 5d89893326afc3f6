// SPDX-License-Identifier: Apache-2.0

package netem

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// inside marks the process that InUserNamespace has started.
const inside = "SANDSTREAM_NETEM_USERNS"

// InUserNamespace lets an ordinary user run the emulator: it runs this program again,
// with the same arguments, as root of a new user and network namespace, and gives its
// exit status. For root, and in the new process, it does nothing: ran is false.
//
//	func TestMain(m *testing.M) {
//		if code, ran, err := netem.InUserNamespace(); ran { ... os.Exit(code) }
func InUserNamespace() (code int, ran bool, err error) {
	if os.Geteuid() == 0 || os.Getenv(inside) != "" {
		return 0, false, nil
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		return 1, false, fmt.Errorf("%w: user namespace: %w; run as root or allow it: sysctl kernel.unprivileged_userns_clone=1", ErrPermission, err)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 1, true, fmt.Errorf("netem: %w", err)
	}
	return cmd.ProcessState.ExitCode(), true, nil
}
