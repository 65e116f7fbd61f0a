package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const plain = "hunter2"

// secretive returns a Config with a secret wherever one fits.
func secretive() Config {
	return Config{
		TLS:      TLS{Key: plain},
		Auth:     Auth{Token: plain},
		Database: Database{Host: "db", Password: plain},
		Admin:    Admin{Token: plain},
		Raft:     Raft{Secret: plain},
		VirtualStorages: []VirtualStorage{
			{Name: "default", Nodes: []Node{{Storage: "a", Token: plain}}},
		},
	}
}

func TestSecret_neverPrinted(t *testing.T) {
	c := secretive()
	printed := map[string]string{}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10v", "% x"} {
		printed[format] = fmt.Sprintf(format, c)
		printed[format+" of a pointer"] = fmt.Sprintf(format, &c)
		printed[format+" of the secret"] = fmt.Sprintf(format, c.Auth.Token)
	}
	text, err := json.Marshal(c)
	must(t, err)
	printed["JSON"] = string(text)
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(handler).Info("starting", "config", c, "pointer", &c, "secret", c.Auth.Token, "node", c.VirtualStorages)
	}
	printed["slog"] = log.String()

	for how, text := range printed {
		hex := fmt.Sprintf("%x", plain)
		if strings.Contains(text, plain) || strings.Contains(strings.ToLower(strings.ReplaceAll(text, " ", "")), hex) {
			t.Errorf("%s shows the secret: %s", how, text)
		}
	}
	for _, how := range []string{"%+v", "JSON", "slog"} {
		if !strings.Contains(printed[how], "[redacted]") {
			t.Errorf("%s does not say that something is redacted: %s", how, printed[how])
		}
	}
}

func TestSecret_emptyPrintsAsEmpty(t *testing.T) {
	same(t, "an unset secret", fmt.Sprintf("<%v><%q>", Secret(""), Secret("")), `<><"">`)
}

func TestLoad_secretFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	text := strings.Replace(minimal, "[database]", "[database]\npassword_file = '"+write("password", "one\r\n")+"'", 1) +
		"token_file = '" + write("node", "two\n\n") + "'\n" +
		"[auth]\ntoken_file = '" + write("auth", "three") + "'\n" +
		"[admin]\ntoken_file = '" + write("admin", " four \n") + "'\n" +
		"[raft]\nsecret_file = '" + write("raft", "five: no less than 16\n") + "'\n"
	c, err := Load(t.Context(), write("config.toml", text), noEnv)
	must(t, err)
	for _, tt := range []struct {
		key  string
		got  Secret
		want string
	}{
		{"database.password_file", c.Database.Password, "one"},
		{"virtual_storage.0.node.0.token_file", c.VirtualStorages[0].Nodes[0].Token, "two\n"},
		{"auth.token_file", c.Auth.Token, "three"},
		{"admin.token_file", c.Admin.Token, " four "},
		{"raft.secret_file", c.Raft.Secret, "five: no less than 16"},
	} {
		if tt.got.Reveal() != tt.want {
			t.Errorf("%s gives %q, want %q", tt.key, tt.got.Reveal(), tt.want)
		}
	}
}

func TestRead_secretFileRefused(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	must(t, syscall.Mkfifo(pipe, 0o600))
	for _, tt := range []struct{ name, path, says string }{
		{"missing", "/does/not/exist", "no such file"},
		{"empty", writeFile(t, "token", "", 0o600), "is empty"},
		{"a newline only", writeFile(t, "token", "\n", 0o600), "is empty"},
		{"readable by everyone", writeFile(t, "token", "secret", 0o644), "readable by everyone (mode 0644): chmod it to 0600"},
		{"writable by the group", writeFile(t, "token", "secret", 0o660), "writable by its group"},
		{"writable by everyone", writeFile(t, "token", "secret", 0o602), "writable by its group or by everyone"},
		{"directory", t.TempDir(), "not a regular file"},
		{"named pipe", pipe, "not a regular file"},
		{"too long", writeFile(t, "token", strings.Repeat("x", maxSecretBytes+1), 0o600), "hardly a secret"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read(t.Context(), strings.NewReader(minimal+"[auth]\ntoken_file = '"+tt.path+"'"), noEnv)
			faults := faultsIn(t, err)
			if len(faults) != 1 || dotted(faults[0]) != "auth.token_file" || !strings.Contains(faults[0].Message, tt.says) {
				t.Errorf("faults:\n%v\nwant one of auth.token_file that says %q", faults, tt.says)
			}
			if strings.Contains(err.Error(), "secret\n") {
				t.Errorf("the fault shows what the file holds: %v", err)
			}
		})
	}
}

func TestRead_secretFileOfAGroup(t *testing.T) {
	for _, mode := range []os.FileMode{0o400, 0o600, 0o640, 0o440} {
		path := writeFile(t, "token", "secret", mode)
		if _, err := Read(t.Context(), strings.NewReader(minimal+"token_file = '"+path+"'"), noEnv); err != nil {
			t.Errorf("mode %o is refused: %v", mode, err)
		}
	}
}

func TestRead_filesMissing(t *testing.T) {
	text := "method_descriptors = ['/nor/does/this']" + minimal + "[tls]\ncertificate_path = '/does/not/exist'\nkey_path = '" + t.TempDir() + "'"
	_, err := Read(t.Context(), strings.NewReader(text), noEnv)
	faults := faultsIn(t, err)
	if len(faults) != 3 || dotted(faults[0]) != "method_descriptors.0" || dotted(faults[1]) != "tls.certificate_path" || dotted(faults[2]) != "tls.key_path" {
		t.Errorf("faults:\n%v\nwant one of each file", faults)
	}
}
