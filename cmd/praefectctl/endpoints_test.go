package main

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// closedPort is a host:port where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		err = l.Close()
	}
	must(t, err)
	return l.Addr().String()
}

// silentPort is a host:port that accepts connections until the test ends, and says nothing.
func silentPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func TestProgram_findsAnInstance(t *testing.T) {
	i := newInstance(t)
	address := i.serve(t)
	_, port, _ := net.SplitHostPort(address)
	token := writeFile(t, "secret\n")
	settings := writeFile(t, fmt.Sprintf("listen_addr = \"127.0.0.1:%s\"\n[auth]\ntoken = \"secret\"\n[database]\nhost = \"/run\"\n"+
		"[[virtual_storage]]\nname = \"default\"\n[[virtual_storage.node]]\nstorage = \"s\"\naddress = \"tcp://h:1\"\n", port))
	for _, row := range []struct {
		name  string
		env   map[string]string
		args  []string
		token bool
	}{
		{"flag", nil, []string{"-endpoints", address}, false},
		{"one of several", nil, []string{"--endpoints", closedPort(t) + ", tcp://" + address, "--token-file", token}, true},
		{"environment", map[string]string{"PRAEFECT_ENDPOINTS": address, "PRAEFECT_TOKEN_FILE": token}, nil, true},
		{"settings", map[string]string{"PRAEFECT_ENDPOINTS": closedPort(t)}, []string{"-config", settings}, true},
		{"flag before settings", nil, []string{"-config", "/none", "-endpoints", address}, false},
	} {
		if got := praefectctl(t, row.env, append(row.args, "status")...); got.code != 0 {
			t.Errorf("%s: got %+v", row.name, got)
		}
		if token := *i.token.Load(); strings.HasPrefix(token, "Bearer v2.") != row.token {
			t.Errorf("%s: the token was %q", row.name, token)
		}
	}
}

func TestProgram_exitCodes(t *testing.T) {
	silent := silentPort(t)
	address := newInstance(t).serve(t)
	for _, row := range []struct {
		name   string
		args   []string
		code   int
		stderr string
	}{
		{"nobody there", []string{"-endpoints", closedPort(t), "status"}, 4, "refused"},
		{"nobody answers", []string{"-endpoints", silent, "-timeout", "100ms", "status"}, 7, ""},
		{"nobody to ask", []string{"status"}, 2, "PRAEFECT_ENDPOINTS"},
		{"not an address", []string{"-endpoints", "http://h:1", "status"}, 2, "http://h:1"},
		{"not a format", []string{"-endpoints", address, "-o", "xml", "status"}, 2, "xml"},
		{"not a timeout", []string{"-endpoints", address, "-timeout", "0s", "status"}, 2, "timeout"},
		{"an argument", []string{"-endpoints", address, "status", "default"}, 2, "takes no arguments"},
		{"an unknown flag", []string{"status", "-fast"}, 2, "fast"},
		{"an unknown command", []string{"stat"}, 2, `"stat"`},
		{"an unknown sub-command", []string{"queue", "clear"}, 2, `"clear"`},
		{"no command", nil, 2, ""},
		{"no token file", []string{"-endpoints", address, "-token-file", "/none", "status"}, 1, "/none"},
		{"no settings file", []string{"-config", "/none", "status"}, 1, "/none"},
		{"help", []string{"-help"}, 0, ""},
		{"version", []string{"-version"}, 0, ""},
	} {
		t.Run(row.name, func(t *testing.T) { praefectctl(t, nil, row.args...).fails(t, row.code, row.stderr) })
	}
}
