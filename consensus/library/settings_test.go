package library

import (
	"testing"

	"github.com/hashicorp/raft"

	"praefect/consensus/member"
	"praefect/consensus/setup"
)

func TestSettings(t *testing.T) {
	for _, p := range []member.Profile{member.Fast, member.Cautious} {
		rc, err := settings(setup.Config{Profile: p}, "id")
		if err != nil {
			t.Fatal(err)
		}
		if err := raft.ValidateConfig(rc); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
}
