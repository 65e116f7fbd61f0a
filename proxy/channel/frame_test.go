package channel

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestUnframer_table(t *testing.T) {
	for _, row := range []struct {
		name, wire, want string
		err              error
	}{
		{"nothing but the end", "0000", "", nil},
		{"two lines", "0006ab0005c0000", "abc", nil},
		{"what follows the end", "0005a0000rest", "a", nil},
		{"an empty line", "00040005a0000", "a", nil},
		{"upper case", "000Aabcdef0000", "abcdef", nil},
		{"no end", "0005a", "a", io.ErrUnexpectedEOF},
		{"nothing", "", "", io.ErrUnexpectedEOF},
		{"half a line", "0007a", "a", io.ErrUnexpectedEOF},
		{"half a length", "00", "", io.ErrUnexpectedEOF},
		{"1", "00010000", "", errFrame},
		{"2", "00020000", "", errFrame},
		{"3", "00030000", "", errFrame},
		{"too long", "fff1", "", errFrame},
		{"no number", "-001", "", errFrame},
		{"a sign", "+005a", "", errFrame},
		{"the longest", "fff0" + strings.Repeat("x", maxPayload) + "0000", strings.Repeat("x", maxPayload), nil},
	} {
		for _, wire := range []io.Reader{strings.NewReader(row.wire), iotest.OneByteReader(strings.NewReader(row.wire))} {
			var u unframer
			got, err := io.ReadAll(reader(func(p []byte) (int, error) { return u.read(wire.Read, p) }))
			if string(got) != row.want || !errors.Is(err, row.err) {
				t.Errorf("%s: got %d bytes and %v, want %d and %v", row.name, len(got), err, len(row.want), row.err)
			}
		}
	}
}

// FuzzUnframer never takes more or other bytes than the lines hold.
func FuzzUnframer(f *testing.F) {
	f.Add([]byte("0006ab0005c0000"), 3)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		size = min(max(size, 1), maxPayload)
		var wire []byte
		for rest := data; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			wire = appendFrame(wire, rest[:min(size, len(rest))])
		}
		r := bytes.NewReader(append(wire, flush...))
		var u unframer
		got, err := io.ReadAll(reader(func(p []byte) (int, error) { return u.read(r.Read, p) }))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("got %q and %v, want %q", got, err, data)
		}
		wild := bytes.NewReader(data)
		u = unframer{}
		if got, err := io.ReadAll(reader(func(p []byte) (int, error) { return u.read(wild.Read, p) })); len(got) > len(data) {
			t.Errorf("got more than there is: %q, %v", got, err)
		}
	})
}
