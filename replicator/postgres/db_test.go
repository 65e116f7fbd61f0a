package postgres

import (
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"praefect/test/must"
)

func TestDB_pingTellsTheVersion(t *testing.T) {
	server, err := open(t, newDatabase(t), Config{}).Ping(t.Context())
	must.Succeed(t, err)
	if server.Number < oldestServer || server.Version == "" {
		t.Errorf("got %+v", server)
	}
}

// TestDB_probe: a probe needs a schema that can be written, and leaves nothing.
func TestDB_probe(t *testing.T) {
	db := open(t, newDatabase(t), Config{})
	if err := db.Probe(t.Context()); err == nil {
		t.Error("a database without a schema took a write")
	}
	_, err := db.Migrate(t.Context())
	must.Succeed(t, err)
	must.Succeed(t, db.Probe(t.Context()))
	status, err := db.MigrationStatus(t.Context())
	must.Succeed(t, err)
	for _, m := range status {
		if m.Unknown {
			t.Errorf("the probe left %q", m.ID)
		}
	}
}

func TestServer_supported(t *testing.T) {
	for number, want := range map[int]error{13_00_21: ErrServerTooOld, 14_00_00: nil, 15_00_18: nil, 18_00_01: nil} {
		if err := (Server{Number: number}).supported(); !errors.Is(err, want) {
			t.Errorf("%d: got %v, want %v", number, err, want)
		}
	}
}

func TestOpen_refusesWhatItCannotRead(t *testing.T) {
	for _, dsn := range []string{"host='unclosed", "sslmode=perhaps", "port=many"} {
		if _, err := Open(dsn, nil, Config{}); err == nil {
			t.Errorf("accepted %q", dsn)
		}
	}
}

func TestDB_metrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	db := open(t, newDatabase(t), Config{})
	must.Succeed(t, db.Register(registry))
	problems, err := testutil.GatherAndLint(registry)
	must.Succeed(t, err)
	if len(problems) > 0 {
		t.Errorf("lint: %+v", problems)
	}
	available := func() float64 {
		t.Helper()
		families, err := registry.Gather()
		must.Succeed(t, err)
		for _, f := range families {
			if f.GetName() == "praefect_postgres_available" {
				return f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		t.Fatal("no metric of availability")
		return 0
	}
	if got := available(); got != 0 {
		t.Errorf("available is %v before the first call", got)
	}
	_, err = db.Ping(t.Context())
	must.Succeed(t, err)
	if got := available(); got != 1 {
		t.Errorf("available is %v after a call", got)
	}
}
