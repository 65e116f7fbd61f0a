package method

import (
	"errors"
	"slices"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
)

// checkAgainstReference compares Read and Rewrite with unmarshalling. A message that does not unmarshal may pass Read, which
// looks at little of it: the storage will refuse it. It reports whether the message was one that both understand.
func checkAgainstReference(tb testing.TB, m Method, b []byte) bool {
	tb.Helper()
	msg := newRequest(tb, m)
	unmarshalErr := proto.Unmarshal(b, msg)
	got, err := m.Read(buffers(b, 0))
	if unmarshalErr != nil {
		return false
	}
	if err != nil {
		if !errors.Is(err, errWireType) {
			tb.Fatalf("%s: Read: %v, yet the message unmarshals to %v", m.FullName, err, msg)
		}
		return false
	}
	if want := referenceRead(tb, m, msg); got != want {
		tb.Fatalf("%s: got %+v, want %+v", m.FullName, got, want)
	}
	return true
}

// fuzzMethods are the methods whose requests are walked, in a stable order so that a corpus keeps its meaning.
func fuzzMethods(tb testing.TB) []Method {
	tb.Helper()
	methods := slices.Collect(newTable(tb).All())
	return slices.DeleteFunc(methods, func(m Method) bool { return m.Scope == ScopeNone })
}

// FuzzRead checks that the walk sees what unmarshalling sees, however the message is cut into buffers.
func FuzzRead(f *testing.F) {
	methods := fuzzMethods(f)
	for i, m := range methods {
		f.Add(uint8(i), uint8(0), marshal(f, filled(f, m)))
	}
	f.Fuzz(func(t *testing.T, which, size uint8, b []byte) {
		m := methods[int(which)%len(methods)]
		checkAgainstReference(t, m, b)

		whole, wholeErr := m.Read(buffers(b, 0))
		cut, cutErr := m.Read(buffers(b, int(size)))
		if whole != cut || (wholeErr == nil) != (cutErr == nil) {
			t.Fatalf("%s: whole %+v (%v), in buffers of %d %+v (%v)", m.FullName, whole, wholeErr, size, cut, cutErr)
		}
	})
}

// FuzzRewrite checks that a rewritten message unmarshals to the original with other names, and reads back as these names.
func FuzzRewrite(f *testing.F) {
	methods := fuzzMethods(f)
	for i, m := range methods {
		f.Add(uint8(i), "gitaly-1", "@cluster/repositories/6b/86/1", marshal(f, filled(f, m)))
	}
	f.Fuzz(func(t *testing.T, which uint8, storage, relativePath string, b []byte) {
		m := methods[int(which)%len(methods)]
		if !utf8.ValidString(storage) || !utf8.ValidString(relativePath) {
			return // no message can hold such a name
		}
		if !checkAgainstReference(t, m, b) {
			return
		}
		to, err := m.Read(buffers(b, 0))
		if err != nil {
			t.Fatal(err)
		}
		switch m.Scope {
		case ScopeRepository:
			to.Target = Repository{StorageName: storage, RelativePath: relativePath}
			if (to.Additional != Repository{}) {
				to.Additional.StorageName = storage
			}
		case ScopeStorage:
			to.Storage = storage
		}

		rewritten := m.Rewrite(buffers(b, 0), to).Materialize()
		if got, err := m.Read(buffers(rewritten, 0)); err != nil || got != to {
			t.Fatalf("%s: reads back as %+v (%v), want %+v", m.FullName, got, err, to)
		}
		want, got := newRequest(t, m), newRequest(t, m)
		if err := proto.Unmarshal(b, want); err != nil {
			t.Fatal(err)
		}
		referenceRewrite(t, m, want, to)
		if err := proto.Unmarshal(rewritten, got); err != nil {
			t.Fatalf("%s: rewritten message: %v", m.FullName, err)
		}
		if !proto.Equal(want, got) {
			t.Fatalf("%s: got %v, want %v", m.FullName, got, want)
		}
	})
}
