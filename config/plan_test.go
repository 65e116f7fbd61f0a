package config

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func planned() Plan {
	return Plan{
		Instances:      []Member{{"praefect-1", "10.0.0.1"}, {"praefect-2", "10.0.0.2"}, {"praefect-3", "fd00::3"}},
		VirtualStorage: "default",
		Storages:       []Member{{"gitaly-1", "tcp://10.0.0.11:8075"}, {"gitaly-2", "tls://gitaly-2.internal:9999"}},
		DatabaseHost:   "db.internal", DatabaseUser: "praefect", DatabaseName: "praefect_production", Etc: "/etc/praefect",
	}
}

func TestPlan_filesAreCompleteSettings(t *testing.T) {
	for _, tls := range []bool{false, true} {
		plan := planned()
		plan.TLS = tls
		must(t, plan.Check())
		text, err := plan.File("praefect-3")
		must(t, err)
		c := parseText(t, text)
		if len(c.Ignored)+len(c.Warnings) > 0 {
			t.Errorf("ignored %v, warnings %v", c.Ignored, c.Warnings)
		}
		if c.Raft.Name != "praefect-3" || c.Raft.AdvertisedAddr() != "[fd00::3]:2307" || len(c.Raft.Others()) != 2 {
			t.Errorf("raft: got %+v", c.Raft)
		}
		want := []VirtualStorage{{Name: "default", Nodes: []Node{
			{Storage: "gitaly-1", Address: "tcp://10.0.0.11:8075", TokenFile: "/etc/praefect/secrets/gitaly-token"},
			{Storage: "gitaly-2", Address: "tls://gitaly-2.internal:9999", TokenFile: "/etc/praefect/secrets/gitaly-token"},
		}}}
		if diff := cmp.Diff(want, c.VirtualStorages, cmpopts.IgnoreFields(VirtualStorage{}, "Line"), cmpopts.IgnoreFields(Node{}, "Line")); diff != "" {
			t.Errorf("storages (-want +got):\n%s", diff)
		}
		if c.Auth.TokenFile != "/etc/praefect/secrets/client-token" || c.Auth.Token != "" || c.Admin.TokenFile != "/etc/praefect/secrets/admin-token" ||
			c.Database.PasswordFile != "/etc/praefect/secrets/database-password" || c.Database.Host != "db.internal" {
			t.Errorf("secrets and database: got %+v %+v %+v", c.Auth, c.Admin, c.Database)
		}
		if tls != (c.TLSListenAddr != "") || tls != (c.Raft.CertificatePath != "") || tls == (c.Raft.SecretFile != "") {
			t.Errorf("with TLS %v: got %q, %+v", tls, c.TLSListenAddr, c.Raft)
		}
		// It has every key that the example has, with the comments.
		keys := func(text string) map[string]bool {
			found := map[string]bool{}
			for _, key := range regexp.MustCompile(`(?m)^(?:#|## )?([a-z_]+) = `).FindAllStringSubmatch(text, -1) {
				found[key[1]] = true
			}
			return found
		}
		if diff := cmp.Diff(keys(Example), keys(text)); diff != "" {
			t.Errorf("keys (-example +file):\n%s", diff)
		}
		if n := strings.Count(text, "\n# "); n < strings.Count(Example, "\n# ")-15 {
			t.Errorf("only %d lines of comments", n)
		}
	}
}

func TestPlan_checkSaysWhatIsWrong(t *testing.T) {
	plan := planned()
	plan.Storages[1] = Member{"gitaly-1", "gitaly-2:8075"}
	err := plan.Check()
	if err == nil || !strings.Contains(err.Error(), `"praefect-1"`) || !strings.Contains(err.Error(), "no known scheme") || !strings.Contains(err.Error(), "unique") {
		t.Errorf("got %v, want both faults", err)
	}
}

func TestEditor_failsIfTheExampleIsAnotherOne(t *testing.T) {
	for name, change := range map[string]func(*editor){
		"set":     func(e *editor) { e.set("raft", "nmae", "x") },
		"unset":   func(e *editor) { e.unset("auth", "transitioning") },
		"replace": func(e *editor) { e.replace("[[nothing]]", "# ", nil) },
	} {
		e := &editor{lines: strings.Split(Example, "\n")}
		if change(e); e.err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
