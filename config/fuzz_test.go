package config

import (
	"errors"
	"os"
	"reflect"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// FuzzParse checks that any text is answered with a configuration, faults or a
// syntax error, and that a configuration written out again is valid and says
// the same.
func FuzzParse(f *testing.F) {
	for _, path := range []string{"testdata/upstream.toml", examplePath} {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(minimal))
	f.Add([]byte("failover_enabled = true\nvirtual_storage_name = 'a'\nnode = [{name = 'a', address = 'unix:a'}, 1]\n" + minimal))
	f.Add([]byte("a.b.c = [[1, {d = 1}], 'x']\n[[raft.peer]]\n[raft.peer.x]\n'' = nan"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse(text, noEnv)
		if err != nil {
			checkRefusal(t, err)
			return
		}
		written, err := toml.Marshal(c)
		if err != nil {
			t.Fatalf("write %+v: %v", c, err)
		}
		again, err := Parse(written, noEnv)
		if err != nil {
			t.Fatalf("valid text\n%s\nwas written as\n%s\nwhich is not valid: %v", text, written, err)
		}
		rewritten, err := toml.Marshal(again)
		if err != nil {
			t.Fatalf("write %+v: %v", again, err)
		}
		if string(rewritten) != string(written) {
			t.Errorf("text\n%s\nwas written as\n%s\nand then as\n%s", text, written, rewritten)
		}
	})
}

func checkRefusal(t *testing.T, err error) {
	t.Helper()
	if syntax, ok := errors.AsType[*SyntaxError](err); ok {
		if syntax.Line < 1 || syntax.Column < 1 || syntax.Message == "" {
			t.Errorf("syntax error %+v says too little", syntax)
		}
		return
	}
	faults, ok := errors.AsType[Faults](err)
	if !ok || len(faults) == 0 {
		t.Fatalf("error is %T (%v), want a syntax error or faults", err, err)
	}
	for i, fault := range faults {
		if len(fault.Key) == 0 || fault.Message == "" || (fault.Line == 0) != (fault.Column == 0) {
			t.Errorf("fault %+v says too little", fault)
		}
		for _, other := range faults[:i] {
			if reflect.DeepEqual(other.Key, fault.Key) {
				t.Errorf("two faults of one key: %v and %v", other, fault)
			}
		}
	}
}
