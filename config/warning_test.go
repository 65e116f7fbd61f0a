package config

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse_warnings(t *testing.T) {
	withoutHost := strings.Replace(minimal, `host = "/run/postgresql"`, "", 1)
	for _, tt := range []struct {
		name, text string
		want       []string // key and line, and what the text says
		unknown    int
	}{
		{"unknown keys and tables of a newer release", "retry_policy = 1\n" + minimal + "zone = 'a'\n[auth]\nrealm.x = 'y'\n[retries]\nmax = 4\n[database.session_pooled]\nsearch_pathway = 'x'",
			[]string{"retry_policy (line 1)", "virtual_storage.node.zone (line 11)", "auth.realm (line 13)", "retries (line 14)", "database.session_pooled.search_pathway (line 17)"}, 5},
		{"unknown keys of two nodes", minimal + "zone = 'a'\n[[virtual_storage.node]]\nstorage='b'\naddress='unix:b'\nzone = 'b'",
			[]string{"virtual_storage.node.zone (line 10)", "virtual_storage.node.zone (line 14)"}, 2},
		{"plain text if the server likes", strings.Replace(minimal, `"/run/postgresql"`, "'db'\nsslmode = 'prefer'", 1), []string{"database.sslmode (line 5)"}, 0},
		{"plain text first", strings.Replace(minimal, `"/run/postgresql"`, "'db'\nsslmode = 'allow'", 1), []string{"database.sslmode (line 5)"}, 0},
		{"no TLS on a socket in any case", strings.Replace(minimal, `"/run/postgresql"`, "'/run'\nsslmode = 'prefer'", 1), nil, 0},
		{"database without host", withoutHost, []string{"database.host (line 3)"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := parseText(t, tt.text)
			if len(c.Warnings) != len(tt.want) {
				t.Fatalf("warnings %v, want %q", c.Warnings, tt.want)
			}
			for i, w := range c.Warnings {
				if got := w.String(); !strings.HasPrefix(got, tt.want[i]+": ") {
					t.Errorf("warning %d: got %q, want it to begin with %q", i, got, tt.want[i])
				}
			}
			same(t, "unknown keys", c.UnknownKeys(), tt.unknown)
		})
	}
}

func TestParse_databaseHostByDefault(t *testing.T) {
	for env, want := range map[string]string{"": "/var/run/postgresql", "db.internal": "db.internal"} {
		c, err := Parse([]byte(strings.Replace(minimal, `host = "/run/postgresql"`, "", 1)), func(name string) string {
			if name == "PGHOST" {
				return env
			}
			return ""
		})
		must(t, err)
		if c.Database.Host != want {
			t.Errorf("with PGHOST=%q host is %q, want %q", env, c.Database.Host, want)
		}
	}
}

// The keys of upstream's example files, commented ones switched on.
func TestParse_upstreamExamples(t *testing.T) {
	for release, ignored := range map[string][]string{
		"16.7": {"sentry.sentry_dsn", "sentry.sentry_environment", "replication.batch_size", "reconciliation.histogram_buckets"},
		"18.9": {"sentry.sentry_dsn", "sentry.sentry_environment", "replication.batch_size", "reconciliation.histogram_buckets"},
	} {
		t.Run(release, func(t *testing.T) {
			text, err := os.ReadFile("testdata/upstream-" + release + ".toml")
			must(t, err)
			c := parseText(t, string(text))
			var got []string
			for _, i := range c.Ignored {
				got = append(got, i.Key)
			}

			if diff := cmp.Diff(slices.Sorted(slices.Values(ignored)), slices.Sorted(slices.Values(got))); diff != "" {
				t.Errorf("ignored keys (-want +got):\n%s", diff)
			}
			if len(c.Warnings) != 1 || c.Warnings[0].Key != "database.host" || c.UnknownKeys() != 0 {
				t.Errorf("warnings %v, want the one of the missing database", c.Warnings)
			}
			if time.Duration(c.Reconciliation.SchedulingInterval) != 0 {
				t.Errorf("scheduling_interval is %v, want 0", c.Reconciliation.SchedulingInterval)
			}
		})
	}
}
