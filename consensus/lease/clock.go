package lease

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Now is the instant by which leases are counted: the time since boot, with the
// time in which the machine was suspended. An instance that slept must not take
// its lease for young. It panics on a system without such a clock.
//
// The system call is one that the Go runtime does not know of: see cmd/praefect/socket.
func Now() time.Duration {
	var ts unix.Timespec
	if _, _, err := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&ts)), 0); err != 0 {
		panic(fmt.Sprintf("lease: this system has no clock that counts suspended time: %v", err))
	}
	return time.Duration(ts.Nano())
}
