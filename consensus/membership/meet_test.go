package membership

import (
	"strings"
	"testing"

	"praefect/consensus/member"
	"praefect/consensus/peer"
	"praefect/consensus/store"
)

func TestMeetings(t *testing.T) {
	m := newMeetings(nil)
	if why := m.whyBarred(); why != "" {
		t.Errorf("an instance alone is barred: %q", why)
	}
	m = newMeetings([]member.Peer{{Name: "b"}, {Name: "c"}})
	if why := m.whyBarred(); !strings.Contains(why, "asks its listed peers") {
		t.Errorf("before it has asked: %q", why)
	}
	m.asked = true
	if why := m.whyBarred(); why != "" {
		t.Errorf("barred: %q", why)
	}
	m.met("c", &peer.OtherCluster{Name: "c", Cluster: "Y", Own: "X"})
	m.met("b", &peer.OtherCluster{Name: "b", Cluster: "Z", Own: "X"})
	for _, part := range []string{`peer "b" is of cluster Z, the listed peer "c" is of cluster Y, this instance of cluster X`, store.RejoinCommand} {
		if why := m.whyBarred(); !strings.Contains(why, part) {
			t.Errorf("%q does not say %q", why, part)
		}
	}
	m.met("b", nil)
	if m.whyBarred() == "" {
		t.Error("one is enough")
	}
	m.met("c", nil)
	if why := m.whyBarred(); why != "" {
		t.Errorf("still barred: %q", why)
	}
}
