package member

import (
	"fmt"
	"time"
)

// Profile names a set of timings, the same at every instance of a cluster.
type Profile string

// The profiles. A leader that dies is replaced after about twice the timeout,
// three times at worst; shorter ones elect needlessly when the CPU is short.
const (
	Fast     Profile = "fast"     // 200 ms, the default
	Cautious Profile = "cautious" // 300 ms
)

// Timeout is the heartbeat, election and leader-lease timeout: the library's
// lease authorises nothing here, so that a shorter one would only add elections.
func (p Profile) Timeout() (time.Duration, error) {
	switch p {
	case Fast:
		return 200 * time.Millisecond, nil
	case Cautious:
		return 300 * time.Millisecond, nil
	}
	return 0, fmt.Errorf("no profile %q: %q or %q", p, Fast, Cautious)
}
