package config

import "testing"

func TestConfig_dialAddress(t *testing.T) {
	for _, row := range []struct {
		cfg  Config
		want string
	}{
		{Config{SocketPath: "/s", ListenAddr: "h:1", TLSListenAddr: "h:2"}, "unix:/s"},
		{Config{ListenAddr: "h:1", TLSListenAddr: "h:2"}, "tcp://h:1"},
		{Config{ListenAddr: ":1"}, "tcp://localhost:1"},
		{Config{ListenAddr: "0.0.0.0:1"}, "tcp://localhost:1"},
		{Config{TLSListenAddr: "[::]:2"}, "tls://localhost:2"},
	} {
		if got, err := row.cfg.DialAddress(); err != nil || got != row.want {
			t.Errorf("got %q, %v, want %q", got, err, row.want)
		}
	}
	if _, err := new(Config).DialAddress(); err == nil {
		t.Error("no address: got no error")
	}
}
