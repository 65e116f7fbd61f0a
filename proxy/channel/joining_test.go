package channel

import (
	"io"
	"net"
	"slices"
	"testing"
)

// TestJoining_keepsTheBytes writes frames with and without a body, a piece at a
// time as the session does.
func TestJoining_keepsTheBytes(t *testing.T) {
	header := func(kind, length byte) []byte { return []byte{0, kind, 0, 0, 0, 0, 0, 1, 0, 0, 0, length} }
	writes := [][]byte{header(1, 9), header(0, 3), []byte("abc"), header(0, 0), header(0, 12), header(0, 1), header(2, 1), header(0, 1), []byte("d")}
	ours, theirs := net.Pipe()
	got := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(theirs)
		got <- b
	}()
	j := &joining{Conn: ours}
	for _, w := range writes {
		if n, err := j.Write(w); n != len(w) || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if b := <-got; !slices.Equal(b, slices.Concat(writes...)) {
		t.Errorf("got %q", b)
	}
}

// TestJoining_saysWhatFailed counts only the body for who writes it.
func TestJoining_saysWhatFailed(t *testing.T) {
	ours, theirs := net.Pipe()
	_ = theirs.Close() // whatever is written fails
	j := &joining{Conn: ours}
	if n, err := j.Write([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2}); n != frameHeaderSize || err != nil {
		t.Errorf("header: got %d, %v", n, err)
	}
	if n, err := j.Write([]byte("ab")); n != 0 || err == nil {
		t.Errorf("body: got %d, %v", n, err)
	}
}
