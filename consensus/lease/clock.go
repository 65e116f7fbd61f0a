package lease

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Now is the instant by which leases are counted: the time since boot, with the
// time in which the machine was suspended. An instance that slept must not take
// its lease for young. It panics on a system without such a clock.
func Now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(fmt.Sprintf("lease: this system has no clock that counts suspended time: %v", err))
	}
	return time.Duration(ts.Nano())
}
