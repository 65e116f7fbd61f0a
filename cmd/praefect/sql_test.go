package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// databaseSettings makes an empty database and returns the settings for it.
func databaseSettings(t *testing.T) string {
	t.Helper()
	dsn, err := database.NewDatabase(t.Context())
	must(t, err)
	var lines []string
	for _, word := range regexp.MustCompile(`(\w+)='([^']*)'`).FindAllStringSubmatch(dsn, -1) {
		format := "%s = %q"
		if word[1] == "port" {
			format = "%s = %s"
		}
		lines = append(lines, fmt.Sprintf(format, word[1], word[2]))
	}
	return strings.Join(lines, "\n")
}

func TestSQLPing(t *testing.T) {
	config := settings{database: databaseSettings(t)}.write(t)
	if got, want := praefect(t, "", "-config", config, "sql-ping"), (outcome{0, "praefect sql-ping: OK\n", ""}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	away := praefect(t, "", "-config", settings{}.write(t), "sql-ping")
	if away.code != 1 || away.stdout != "" || !strings.Contains(away.stderr, "refused") {
		t.Errorf("without Postgres: got %+v", away)
	}
}

func TestSQLMigrate(t *testing.T) {
	config := settings{database: databaseSettings(t)}.write(t)
	first := praefect(t, "", "-config", config, "sql-migrate", "-verbose")
	want := regexp.MustCompile(`^praefect sql-migrate: migrations to apply: (\d+)\n(=  \S+Z \S+: migrating\n== \S+Z \S+: applied \(\S+\)\n)+praefect sql-migrate: OK \(applied (\d+) migrations\)\n$`)
	if m := want.FindStringSubmatch(first.stdout); first.code != 0 || m == nil || m[1] != m[3] {
		t.Errorf("the first time: got %+v", first)
	}
	praefect(t, "", "-config", config, "sql-migrate").is(t, outcome{0, "praefect sql-migrate: all migrations are up\n", ""})
}

func TestSQLMigrateDownAndStatus(t *testing.T) {
	config := settings{database: databaseSettings(t)}.write(t)
	run := func(args ...string) outcome { return praefect(t, "", append([]string{"-config", config}, args...)...) }
	before := outcome{0, `+-----------------------+---------+
| MIGRATION             | APPLIED |
+-----------------------+---------+
| 0001_jobs.sql         | no      |
| 0002_repositories.sql | no      |
| 0003_claims.sql       | no      |
| 0004_waiting.sql      | no      |
| 0005_verification.sql | no      |
+-----------------------+---------+
`, ""}
	run("sql-migrate-status").is(t, before) // at first
	if got := run("sql-migrate"); got.code != 0 {
		t.Fatalf("got %+v", got)
	}
	up := regexp.MustCompile(`\| 0001_jobs.sql +\| \d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.\d]* \+0000 UTC +\|\n\| 0002_repositories.sql +\| \d{4}-`)
	if got := run("sql-migrate-status"); got.code != 0 || !up.MatchString(got.stdout) {
		t.Errorf("when all are up: got %+v", got)
	}
	dry := outcome{0, "DRY RUN -- would roll back:\n\n- 0005_verification.sql\n\nTo apply these migrations run with -f\n", ""}
	run("sql-migrate-down", "1").is(t, dry) // a dry run
	run("sql-migrate-down", "-f", "5").is(t, outcome{0, "OK (applied 5 \"down\" migrations)\n", ""})
	run("sql-migrate-status").is(t, before) // at last
	for _, args := range [][]string{{}, {"0"}, {"x"}, {"1", "2"}} {
		if got := run(append([]string{"sql-migrate-down"}, args...)...); got.code != 1 || got.stderr == "" {
			t.Errorf("%v: got %+v", args, got)
		}
	}
}

// migratedLater is the file of settings of a database to which a newer release has applied a migration.
func migratedLater(t *testing.T) (config string) {
	t.Helper()
	section := databaseSettings(t)
	config = settings{database: section}.write(t)
	if got := praefect(t, "", "-config", config, "sql-migrate"); got.code != 0 {
		t.Fatalf("got %+v", got)
	}
	name := regexp.MustCompile(`dbname = "(\w+)"`).FindStringSubmatch(section)[1]
	if _, err := database.SQL(t.Context(), name, "insert into praefect_raft.schema_migrations values ('9999_later.sql', now())"); err != nil {
		t.Fatal(err)
	}
	return config
}

func TestSQLMigrateStatus_namesWhatANewerReleaseApplied(t *testing.T) {
	config := migratedLater(t)
	if got := praefect(t, "", "-config", config, "sql-migrate-status"); got.code != 0 || !regexp.MustCompile(`\| 9999_later.sql +\| unknown migration +\|`).MatchString(got.stdout) {
		t.Errorf("got %+v", got)
	}
	praefect(t, "", "-config", config, "sql-migrate-down", "-f", "1").fails(t, 1, "9999_later.sql") // taking it back
}

func TestSQLMigrate_besideANewerRelease(t *testing.T) {
	config := migratedLater(t)
	praefect(t, "", "-config", config, "sql-migrate").ends(t, 0, "all migrations are up")
	praefect(t, "", "-config", config, "sql-migrate", "-ignore-unknown=false").fails(t, 1, "9999_later.sql") // not ignoring it
}
