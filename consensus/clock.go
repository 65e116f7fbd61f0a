package consensus

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot is the time since boot, with the time in which the machine was
// suspended: an instance that slept must not take itself for young.
func sinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(fmt.Sprintf("consensus: this system has no clock that counts suspended time: %v", err))
	}
	return time.Duration(ts.Nano())
}
