package store

import (
	"path/filepath"
	"reflect"
	"testing"

	"praefect/test/must"
)

func TestIdentity(t *testing.T) {
	dir := t.TempDir()
	first, err := readIdentity(dir)
	if err != nil || first.ID == "" || first.Bootstrapped {
		t.Fatalf("%+v, %v", first, err)
	}
	if second, err := readIdentity(dir); err != nil || !reflect.DeepEqual(second, first) {
		t.Errorf("%+v, %v, want %+v", second, err, first)
	}
	first.Bootstrapped = true
	must.Succeed(t, first.write(dir))
	if third, err := readIdentity(dir); err != nil || !reflect.DeepEqual(third, first) {
		t.Errorf("%+v, %v, want %+v", third, err, first)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
	if other, err := readIdentity(t.TempDir()); err != nil || other.ID == first.ID {
		t.Errorf("another directory has %+v, %v", other, err)
	}
}
