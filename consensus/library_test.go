package consensus

import (
	"testing"

	"github.com/hashicorp/raft"

	"praefect/consensus/member"
	"praefect/consensus/setup"
)

func TestLibrarySettings(t *testing.T) {
	for _, p := range []member.Profile{member.Fast, member.Cautious} {
		rc, err := librarySettings(setup.Config{Profile: p}, "id")
		if err != nil {
			t.Fatal(err)
		}
		if err := raft.ValidateConfig(rc); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	if _, err := Open(t.Context(), setup.Config{}); err == nil {
		t.Error("opened without a directory")
	}
}
