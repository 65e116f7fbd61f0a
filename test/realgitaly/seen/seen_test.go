package seen

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"praefect/test/must"
)

func TestNote_replacesItsOwnReleaseAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "testdata", "seen.json")
	note := func(version, method string, m Method) {
		t.Helper()
		err := Note(file, version, "git "+version, []string{method}, func(_ string, was Method) Method {
			if m.Votes != "" {
				was.Votes = m.Votes
			}
			if m.Replicas != "" {
				was.Replicas = m.Replicas
			}
			return was
		})
		must.Succeed(t, err)
	}
	note("16.7.0", "S/M", Method{Votes: "prepared committed"})
	note("18.9.0", "S/M", Method{Votes: "preparing prepared committed"})
	note("18.9.0", "S/M", Method{Replicas: "equal"})
	note("18.9.0", "S/N", Method{Votes: "none"})
	record, err := Read(file)
	must.Succeed(t, err)
	if got, want := record.Of("S/M"), "16.7.0: votes prepared committed; 18.9.0: votes preparing prepared committed: replicas equal"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := record.Of("S/O"); got != "" {
		t.Errorf("of a method that nobody saw: %q", got)
	}
	if got := record.Methods(); !slices.Equal(got, []string{"S/M", "S/N"}) {
		t.Errorf("methods: %q", got)
	}
}

func TestRead_refusesWhatItCannotRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "seen.json")
	if record, err := Read(file); err != nil || len(record) > 0 {
		t.Errorf("of a file that is absent: %v, %v", record, err)
	}
	must.Succeed(t, os.WriteFile(file, []byte("[]"), 0o600))
	if _, err := Read(file); err == nil {
		t.Error("of a list: no error")
	}
}
