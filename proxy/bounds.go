package proxy

import (
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxName bounds ids and names of a client's choice wherever they are repeated: in the log, and in
// forwarded calls.
const maxName = 255

// cut shortens a name to maxName bytes, and never in the middle of a character.
func cut(name string) string {
	if len(name) <= maxName {
		return name
	}
	return strings.ToValidUTF8(name[:maxName], "")
}

// maxText bounds texts of others in the log, such as the status of a storage.
const maxText = 2 << 10

// cutText shortens a text for the log, and says so.
func cutText(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "… (" + strconv.Itoa(len(text)) + " bytes)"
}

// first is the first of several values, empty if there is none.
func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

const (
	// sampleSize of the lines about one kind of event are written in each sampleTime.
	sampleSize = 10
	sampleTime = 10 * time.Second
)

// sampler says which of many events get a line in the log.
type sampler struct {
	mu       sync.Mutex
	began    time.Time // the present period; guarded by mu
	taken    int       // in it; guarded by mu
	unlogged int       // since the last line; guarded by mu
}

// take tells whether an event gets a line, and how many before it got none.
func (s *sampler) take(now time.Time) (unlogged int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.began) >= sampleTime {
		s.began, s.taken = now, 0
	}
	if s.taken >= sampleSize {
		s.unlogged++
		return 0, false
	}
	s.taken++
	unlogged, s.unlogged = s.unlogged, 0
	return unlogged, true
}
