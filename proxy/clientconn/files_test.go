package clientconn

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// starvedListener has no file descriptor left.
type starvedListener struct{ net.Listener }

func (starvedListener) Accept() (net.Conn, error) {
	return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", unix.EMFILE)}
}

// TestSet_saysThatALimitIsReached: the log has a line when connections or file descriptors run
// out, not one for each, and the oldest connection that has proved nothing makes room.
func TestSet_saysThatALimitIsReached(t *testing.T) {
	for _, row := range []struct {
		name, says string
		reach      func(*Set)
	}{
		{"connections", "the limit of connections is reached", func(s *Set) { accept(t, s) }},
		{"file descriptors", "LimitNOFILE", func(s *Set) {
			if _, err := s.Listener(starvedListener{}, func() {}).Accept(); !errors.Is(err, unix.EMFILE) {
				t.Errorf("got %v", err)
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var log bytes.Buffer
			set := NewSet(Config{Limit: 50, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			var open []*Conn
			for range 5 { // a tenth
				_, c := accept(t, set)
				open = append(open, c)
			}
			if log.Len() > 0 {
				t.Errorf("before: %s", log.String())
			}
			for range 3 {
				row.reach(set)
			}
			if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), row.says) {
				t.Errorf("%d lines: %s", n, log.String())
			}
			for i, c := range open {
				closed := false
				select {
				case <-c.closed:
					closed = true
				default:
				}
				if want := i < 3; closed != want {
					t.Errorf("connection %d: closed %t, want %t", i, closed, want)
				}
			}
		})
	}
}
