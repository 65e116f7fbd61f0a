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
	if err != nil {
		t.Fatal(err)
	}
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
	want := regexp.MustCompile(`^praefect sql-migrate: migrations to apply: (\d+)\n(== \S+ \S+: applied \(\S+\)\n)+praefect sql-migrate: OK \(applied (\d+) migrations\)\n$`)
	if m := want.FindStringSubmatch(first.stdout); first.code != 0 || m == nil || m[1] != m[3] {
		t.Errorf("the first time: got %+v", first)
	}
	again := praefect(t, "", "-config", config, "sql-migrate")
	if want := (outcome{0, "praefect sql-migrate: all migrations are up\n", ""}); again != want {
		t.Errorf("again: got %+v", again)
	}
}

func TestSQLMigrate_besideANewerRelease(t *testing.T) {
	section := databaseSettings(t)
	config := settings{database: section}.write(t)
	if got := praefect(t, "", "-config", config, "sql-migrate"); got.code != 0 {
		t.Fatalf("got %+v", got)
	}
	name := regexp.MustCompile(`dbname = "(\w+)"`).FindStringSubmatch(section)[1]
	if _, err := database.SQL(t.Context(), name, "insert into praefect_raft.schema_migrations values ('9999_later.sql', now())"); err != nil {
		t.Fatal(err)
	}
	if got := praefect(t, "", "-config", config, "sql-migrate"); got.code != 0 || !strings.Contains(got.stdout, "all migrations are up") {
		t.Errorf("got %+v", got)
	}
	if got := praefect(t, "", "-config", config, "sql-migrate", "-ignore-unknown=false"); got.code != 1 || !strings.Contains(got.stderr, "9999_later.sql") {
		t.Errorf("not ignoring it: got %+v", got)
	}
}
