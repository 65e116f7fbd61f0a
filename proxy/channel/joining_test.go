package channel

import (
	"bytes"
	"io"
	"net"
	"path/filepath"
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

// recorded notes what is written to it at once.
type recorded struct {
	net.Conn
	writes [][]byte
}

func (r *recorded) Write(p []byte) (int, error) {
	r.writes = append(r.writes, slices.Clone(p))
	return len(p), nil
}

// TestJoining_writesAFrameAtOnce where the connection would take the parts one by
// one, as TLS does.
func TestJoining_writesAFrameAtOnce(t *testing.T) {
	header := func(kind, length byte) []byte { return []byte{0, kind, 0, 0, 0, 0, 0, 1, 0, 0, 0, length} }
	r := new(recorded)
	j := &joining{Conn: r}
	for _, p := range [][]byte{header(2, 7), header(0, 5), []byte("first"), header(1, 9), header(0, 10), []byte("the second")} {
		if n, err := j.Write(p); n != len(p) || err != nil {
			t.Fatalf("got %d, %v of %d bytes", n, err, len(p))
		}
	}
	want := [][]byte{header(2, 7), slices.Concat(header(0, 5), []byte("first")), header(1, 9), slices.Concat(header(0, 10), []byte("the second"))}
	if !slices.EqualFunc(r.writes, want, bytes.Equal) {
		t.Errorf("got %q, want %q", r.writes, want)
	}
}

// TestJoining_overASocket takes the way that needs no copy.
func TestJoining_overASocket(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	j := &joining{Conn: conn}
	frame := [][]byte{{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4}, []byte("body")}
	for _, p := range frame {
		if n, err := j.Write(p); n != len(p) || err != nil {
			t.Fatalf("got %d, %v", n, err)
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(other); err != nil || !bytes.Equal(got, slices.Concat(frame...)) {
		t.Errorf("got %q, %v", got, err)
	}
}
