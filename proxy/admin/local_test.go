package admin_test

import (
	"os"
	"path/filepath"
	"testing"

	"praefect/proxy/admin"
)

func TestLocalToken_isMadeOnce(t *testing.T) {
	dir := t.TempDir()
	if got := admin.LocalToken(dir); got != "" {
		t.Errorf("before it is made: got %q", got)
	}
	made, err := admin.MakeLocalToken(dir)
	if err != nil || len(made) < 16 {
		t.Fatalf("got %q, %v", made, err)
	}
	again, err := admin.MakeLocalToken(dir)
	if err != nil || again != made || admin.LocalToken(dir) != made {
		t.Errorf("got %q, %v, then %q, want %q", again, err, admin.LocalToken(dir), made)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("got %v, %v", files, err)
	}
	if info, err := files[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
}

func TestMakeLocalToken_fails(t *testing.T) {
	if _, err := admin.MakeLocalToken(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("in a directory that is not there: got no error")
	}
}
