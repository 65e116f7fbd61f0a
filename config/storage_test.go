package config

import (
	"fmt"
	"slices"
	"testing"
)

func TestVirtualStorage_succession(t *testing.T) {
	for _, tt := range []struct {
		name  string
		nodes []Node
		want  []string
	}{
		{"in the file's order", []Node{{Storage: "c"}, {Storage: "a"}, {Storage: "b"}}, []string{"c", "a", "b"}},
		{"primary first", []Node{{Storage: "c"}, {Storage: "a"}, {Storage: "b", Primary: true}}, []string{"b", "c", "a"}},
		{"one", []Node{{Storage: "a"}}, []string{"a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := (VirtualStorage{Nodes: tt.nodes}).Succession(); !slices.Equal(got, tt.want) {
				t.Errorf("succession is %q, want %q", got, tt.want)
			}
		})
	}
}

func TestParse_oneStorageNameInTwoVirtualStorages(t *testing.T) {
	parseText(t, minimal+`
[[virtual_storage]]
name = "second"
[[virtual_storage.node]]
storage = "gitaly-1"
address = "tcp://elsewhere:8075"
`)
}

func TestCheckStorageAddress(t *testing.T) {
	for address, valid := range map[string]bool{
		"tcp://gitaly:8075":              true,
		"tcp://10.0.0.1:1":               true,
		"tcp://[::1]:8075":               true,
		"tls://gitaly.internal:65535":    true,
		"unix:/run/gitaly.socket":        true,
		"unix:run/gitaly.socket":         true,
		"unix:///run/gitaly.socket":      true,
		"dns:gitaly:8075":                true,
		"dns:///gitaly:8075":             true,
		"dns://10.0.0.53:53/gitaly:8075": true,
		"dns://10.0.0.53/gitaly:8075":    true,

		"gitaly":                   false,
		"gitaly:8075":              false,
		"tcp:gitaly:8075":          false,
		"tcp://":                   false,
		"tcp://gitaly":             false,
		"tcp://gitaly:0":           false,
		"tcp://gitaly:65536":       false,
		"tcp://gitaly:http":        false,
		"tcp://gitaly:-1":          false,
		"tcp://:8075":              false,
		"tcp://0.0.0.0:8075":       false,
		"tcp://[::]:8075":          false,
		"tcp://user@gitaly:8075":   false,
		"tcp://gitaly:8075/path":   false,
		"tcp://git aly:8075":       false,
		"TCP://gitaly:8075":        false,
		"http://gitaly:8075":       false,
		"unix:":                    false,
		"unix://":                  false,
		"unix://run/gitaly.socket": false,
		"dns:gitaly":               false,
		"dns://gitaly:8075":        false,
		"dns://resolver/":          false,
	} {
		if err := checkStorageAddress(address); (err == nil) != valid {
			t.Errorf("address %q: error is %v, want valid to be %v", address, err, valid)
		}
	}
}

func TestSameListenAddr(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{":2305", ":2305", true},
		{":2305", "127.0.0.1:2305", true},
		{"[::]:2305", "127.0.0.1:2305", true},
		{"127.0.0.1:2305", "127.0.0.2:2305", false},
		{"127.0.0.1:2305", "127.0.0.1:2306", false},
		{"127.0.0.1:0", "127.0.0.1:0", false},
		{"", ":2305", false},
	} {
		same(t, fmt.Sprintf("sameListenAddr(%q, %q)", tt.a, tt.b), sameListenAddr(tt.a, tt.b), tt.want)
	}
}
