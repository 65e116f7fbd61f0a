package config

import "testing"

func TestConsole_faults(t *testing.T) {
	const token = "auth = { token = 'secret' }\n"
	for _, row := range []struct {
		name, text string
		key        string // empty: no fault
	}{
		{"off", "", ""},
		{"loopback", token + "console = { listen_addr = '127.0.0.1:9653' }", ""},
		{"loopback by name", token + "console = { listen_addr = 'localhost:9653' }", ""},
		{"loopback of version 6", token + "console = { listen_addr = '[::1]:9653' }", ""},
		{"upstream's form", token + "console = { listen_addr = 'tcp://127.0.0.1:9653' }", ""},
		{"all interfaces", token + "console = { listen_addr = ':9653' }", "console.listen_addr"},
		{"another interface", token + "console = { listen_addr = '10.0.0.1:9653' }", "console.listen_addr"},
		{"a name that may be anything", token + "console = { listen_addr = 'praefect-1:9653' }", "console.listen_addr"},
		{"no token", "console = { listen_addr = '127.0.0.1:9653' }", "console.listen_addr"},
		{"the port of clients", token + "console = { listen_addr = '127.0.0.1:2305' }", "console.listen_addr"},
		{"no port", token + "console = { listen_addr = '127.0.0.1' }", "console.listen_addr"},
		{"half a certificate", token + "console = { listen_addr = ':9653', certificate_path = 'console.crt' }", "console.certificate_path"},
		{"a certificate", token + "console = { listen_addr = ':9653', certificate_path = 'console.crt', key_path = 'console.key' }", ""},
		{"hosts", token + "console = { listen_addr = '127.0.0.1:9653', hosts = ['praefect.example.com'] }", ""},
		{"a host with its scheme", token + "console = { listen_addr = '127.0.0.1:9653', hosts = ['https://praefect.example.com'] }", "console.hosts.0"},
		{"any host", token + "console = { listen_addr = '127.0.0.1:9653', hosts = ['*'] }", "console.hosts.0"},
		{"a misspelt key", token + "console = { listen_address = '127.0.0.1:9653' }", "console.listen_address"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := Parse([]byte("listen_addr = ':2305'\n"+row.text+`
[[virtual_storage]]
name = "default"
[[virtual_storage.node]]
storage = "gitaly-1"
address = "tcp://gitaly-1:8075"
`), noEnv)
			if row.key == "" {
				must(t, err)
				return
			}
			faults := faultsIn(t, err)
			if len(faults) != 1 || dotted(faults[0]) != row.key {
				t.Errorf("got %v, want one fault of %s", faults, row.key)
			}
		})
	}
}
