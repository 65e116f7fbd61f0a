package cluster

import (
	"reflect"
	"testing"

	"praefect/test/must"
)

func TestDatabaseSettings_readsWhatTestPostgresWrites(t *testing.T) {
	got, err := databaseSettings(`host='127.0.0.1' port='5432' user='praefect' dbname='a \'b\' \\c' sslmode='disable' password=''`)
	must.Succeed(t, err)
	want := table{"host": "127.0.0.1", "port": 5432, "user": "praefect", "dbname": `a 'b' \c`, "sslmode": "disable", "password": ""}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDatabaseSettings_refusesAnotherForm(t *testing.T) {
	for _, dsn := range []string{"postgres://host/name", "host='x", `host='x\`, "host='x'", "port='http'"} {
		if got, err := databaseSettings(dsn); err == nil {
			t.Errorf("%s: got %v, want an error", dsn, got)
		}
	}
}

func TestMerge_goesKeyByKeyThroughTables(t *testing.T) {
	below := table{"a": table{"x": 1, "y": 2}, "list": []any{1, 2}, "kept": true}
	over := table{"a": table{"y": 3, "z": 4}, "list": []any{5}, "new": table{"n": 1}}
	want := table{"a": table{"x": 1, "y": 3, "z": 4}, "list": []any{5}, "kept": true, "new": table{"n": 1}}
	if got := merge(below, over); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestMetrics_sum(t *testing.T) {
	metrics, err := parseMetrics("# HELP jobs Jobs.\n# TYPE jobs gauge\njobs{state=\"a b\"} 2\njobs{state=\"c\"} 1e+03\njobs_total 7\n\nup NaN\n")
	must.Succeed(t, err)
	if got, found := metrics.Sum("jobs"); got != 1002 || !found {
		t.Errorf("got %v, %v; want 1002", got, found)
	}
	if got := metrics[`jobs{state="a b"}`]; got != 2 {
		t.Errorf("got %v, want 2", got)
	}
	if _, found := metrics.Sum("job"); found {
		t.Error("found a metric of which only the beginning matches")
	}
	if _, err := parseMetrics("nothing\n"); err == nil {
		t.Error("a line without a value was read")
	}
}
