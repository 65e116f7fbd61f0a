package must

import (
	"errors"
	"fmt"
	"testing"
)

// recorder notes what ended it.
type recorder struct{ ended []string }

func (r *recorder) Helper() {}

func (r *recorder) Fatal(args ...any) { r.ended = append(r.ended, fmt.Sprint(args...)) }

func TestSucceed(t *testing.T) {
	var r recorder
	Succeed(&r, nil)
	Succeed(&r, errors.New("broken"))
	if len(r.ended) != 1 || r.ended[0] != "broken" {
		t.Errorf("ended with %q, want the one error", r.ended)
	}
}
