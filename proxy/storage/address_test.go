package storage

import (
	"testing"
	"time"
)

func TestParseAddress(t *testing.T) {
	for _, row := range []struct {
		text string
		want address
	}{
		{"tcp://h:1", address{network: "tcp", endpoint: "h:1"}},
		{"tcp://[::1]:1", address{network: "tcp", endpoint: "[::1]:1"}},
		{"tls://h:1", address{network: "tcp", endpoint: "h:1", tls: true}},
		{"unix:a/b", address{network: "unix", endpoint: "a/b"}},
		{"unix:/a/b", address{network: "unix", endpoint: "/a/b"}},
		{"unix:///a/b", address{network: "unix", endpoint: "/a/b"}},
		{"dns:h:1", address{network: "tcp", endpoint: "h:1"}},
		{"dns:///h:1", address{network: "tcp", endpoint: "h:1"}},
		{"dns://ns/h:1", address{network: "tcp", endpoint: "h:1", nameserver: "ns:53"}},
		{"dns://ns:54/h:1", address{network: "tcp", endpoint: "h:1", nameserver: "ns:54"}},
	} {
		got, err := parseAddress(row.text)
		if err != nil || got != row.want {
			t.Errorf("%q: got %+v, %v", row.text, got, err)
		}
	}
	for _, text := range []string{"", "h", "h:1", "tcp:h:1", "tcp://", "tcp://h", "tcp://:1", "tcp://h:", "tcp://h:1/x",
		"unix:", "unix://a/b", "dns:h", "dns://h:1", "http://h:1"} {
		if got, err := parseAddress(text); err == nil {
			t.Errorf("%q: got %+v, want an error", text, got)
		}
	}
}

func TestToken_vector(t *testing.T) {
	got := Token("foo", time.Unix(1535671615, 0))
	want := "Bearer v2.3346cb25ecdb928defd368e7390522a86764bbdf1e8b21aaef27c4c23ec9c899.1535671615"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if md, err := Credentials("").GetRequestMetadata(t.Context()); err != nil || md != nil {
		t.Errorf("no secret: got %v, %v", md, err)
	}
}
