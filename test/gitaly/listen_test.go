package gitaly_test

import (
	"net"
	"path/filepath"
	"testing"

	"praefect/test/gitaly"
	"praefect/test/must"
)

func TestListen_replacesTheSocketOfAKilledServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must.Succeed(t, err)
	if lis, _, err := gitaly.Listen(t.Context(), "unix:"+path); err == nil {
		t.Errorf("listened beside a living server: %v", lis.Close())
	}
	first.SetUnlinkOnClose(false) // as a killed process would leave it
	must.Succeed(t, first.Close())
	lis, address, err := gitaly.Listen(t.Context(), "unix:"+path)
	must.Succeed(t, err)
	if address != "unix:"+path {
		t.Errorf("got address %q", address)
	}
	if err := lis.Close(); err != nil {
		t.Error(err)
	}
}
