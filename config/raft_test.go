package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// cluster opens the section of an instance that listens for others, and others
// are two of those.
const (
	cluster = "[raft]\nlisten_addr = ':2307'\nsecret_file = 's'\n"
	others  = "[[raft.peer]]\nname = 'b'\naddr = 'b:2307'\n[[raft.peer]]\nname = 'c'\naddr = 'c:2307'\n"
)

func TestRaft_addresses(t *testing.T) {
	all := []Peer{{Name: "b", Addr: "b:2307"}, {Name: "c", Addr: "c:2307"}}
	for name, tt := range map[string]struct {
		text      string
		advertise string
		others    []Peer
	}{
		"alone":               {"", "", nil},
		"alone, but listens":  {"[raft]\nname = 'a'\nlisten_addr = 'h:1'\nsecret_file = 's'", "h:1", nil},
		"not listed itself":   {cluster + "name = 'a'\nadvertise_addr = 'h:1'\n" + others, "h:1", all},
		"listed itself":       {cluster + "name = 'a'\n" + others + "[[raft.peer]]\nname = 'a'\naddr = 'a:2307'", "a:2307", all},
		"listed in one place": {"[raft]\nname = 'a'\nlisten_addr = 'h:1'\nsecret_file = 's'\n" + others, "h:1", all},
	} {
		t.Run(name, func(t *testing.T) {
			r := parseText(t, minimal+tt.text).Raft
			same(t, "advertised address", r.AdvertisedAddr(), tt.advertise)
			if diff := cmp.Diff(tt.others, r.Others()); diff != "" && len(tt.others)+len(r.Others()) > 0 {
				t.Errorf("others (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRaft_diskTimeout(t *testing.T) {
	for text, want := range map[string]Duration{
		"": Duration(10 * time.Second),
		cluster + "name = 'a'\nadvertise_addr = 'h:1'\n" + others:                       Duration(5 * time.Second),
		cluster + "name = 'a'\nadvertise_addr = 'h:1'\ndisk_timeout = '30s'\n" + others: Duration(30 * time.Second),
		cluster + "name = 'a'\nadvertise_addr = 'h:1'\ndisk_timeout = '0s'\n" + others:  Duration(5 * time.Second),
		"[raft]\ndisk_timeout = '1s'":                                                   Duration(time.Second),
	} {
		same(t, text, parseText(t, minimal+text).Raft.DiskTimeout, want)
	}
}
