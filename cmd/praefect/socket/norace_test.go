//go:build !race

package socket_test

import "testing"

func TestNew_takesTheSocket(t *testing.T) {
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": t.TempDir() + "/s"} {
		if ours, theirs := pair(t, network, address); ours.LocalAddr().String() != theirs.RemoteAddr().String() {
			t.Errorf("%s: ours is at %v, theirs leads to %v", network, ours.LocalAddr(), theirs.RemoteAddr())
		} else if _, same := ours.(interface{ CloseRead() error }); same {
			t.Errorf("%s: a connection of package net", network)
		}
	}
}
