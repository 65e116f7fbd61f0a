package store

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"praefect/test/must"
)

func TestLostClaims(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{committedFile, LogFile} {
		must.Succeed(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	must.Succeed(t, (Identity{Version: 1, ID: "one"}).write(dir))
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	first := LostClaim{VirtualStorage: "default", ClusterID: "Y", Instance: "i", Host: "h", Since: at, Seen: at.Add(time.Hour)}
	second := LostClaim{VirtualStorage: "other", ClusterID: "Z", Since: at, Seen: at}
	for _, lost := range [][]LostClaim{nil, {first, second}, {second}, {first}, nil, nil, {first}} {
		must.Succeed(t, WriteLostClaims(dir, lost))
		got, err := ReadLostClaims(dir)
		if err != nil || !slices.Equal(got, lost) {
			t.Errorf("it remembers %+v, %v, want %+v", got, err, lost)
		}
		files, err := filepath.Glob(filepath.Join(dir, lostClaimsFile+"*"))
		if err != nil || len(files) != min(1, len(lost)) {
			t.Errorf("with %d lost claims there are the files %q, %v", len(lost), files, err)
		}
	}

	// Who joins the other cluster has not lost anything to it.
	aside, err := SetAside(t.Context(), dir, at)
	must.Succeed(t, err)
	if got, err := ReadLostClaims(dir); err != nil || len(got) != 0 {
		t.Errorf("after the state was set aside it remembers %+v, %v", got, err)
	}
	if got, err := ReadLostClaims(aside); err != nil || !slices.Equal(got, []LostClaim{first}) {
		t.Errorf("set aside was %+v, %v", got, err)
	}
	for _, name := range []string{committedFile, LogFile, IdentityFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was not set aside", name)
		}
	}
}

func TestLostClaims_unreadable(t *testing.T) {
	dir := t.TempDir()
	if got, err := ReadLostClaims(filepath.Join(dir, "missing")); err != nil || len(got) != 0 {
		t.Errorf("without a directory: %+v, %v", got, err)
	}
	must.Succeed(t, os.WriteFile(filepath.Join(dir, lostClaimsFile), []byte("[{"), 0o600))
	if _, err := ReadLostClaims(dir); err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "claim list") {
		t.Errorf("a damaged file: %v", err)
	}
	if err := WriteLostClaims(filepath.Join(dir, "missing"), []LostClaim{{}}); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("to a directory that is not there: %v", err)
	}
}
