package setup

import (
	"strings"
	"testing"
)

func TestConfig_withDefaults(t *testing.T) {
	if _, err := (Config{DataDir: "/data"}).WithDefaults(); err != nil {
		t.Fatal(err)
	}
	_, err := Config{Profile: "reckless", BatchLimit: -1}.WithDefaults()
	for _, want := range []string{"reckless", "raft.data_dir", "limit"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}
