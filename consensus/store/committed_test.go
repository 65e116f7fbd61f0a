package store

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"praefect/test/must"
)

func TestReadCommitted_trustsNothingDamaged(t *testing.T) {
	dir := t.TempDir()
	want := Committed{Index: 7, Term: 3, Time: time.UnixMilli(1_800_000_000_123)}
	whole := want.encode()
	damaged := append([]byte(nil), whole...)
	damaged[7]++
	for _, tc := range []struct {
		name    string
		content []byte
		want    Committed
	}{
		{"whole", whole, want},
		{"cut off", whole[:20], Committed{}},
		{"damaged", damaged, Committed{}},
		{"empty", nil, Committed{}},
	} {
		must.Succeed(t, os.WriteFile(filepath.Join(dir, committedFile), tc.content, 0o600))
		if got, err := readCommitted(dir); err != nil || got != tc.want {
			t.Errorf("%s: got %+v, %v, want %+v", tc.name, got, err, tc.want)
		}
	}
	if got, err := readCommitted(t.TempDir()); err != nil || got != (Committed{}) {
		t.Errorf("none: got %+v, %v", got, err)
	}
}
