package cluster

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"praefect/test/must"
)

// Run starts a cluster for a test, which it fails if that is not possible. At the
// test's end the cluster is stopped; if the test failed, its log then has the
// ends of all processes' logs. Where $SUITE_DIR names a directory, a cluster without
// one is kept there, by the name of the test.
func Run(t testing.TB, options Options) *Cluster {
	t.Helper()
	if dir := os.Getenv("SUITE_DIR"); dir != "" && options.Dir == "" {
		options.Dir = filepath.Join(dir, t.Name())
	}
	c, err := Start(t.Context(), options)
	must.Succeed(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			var text strings.Builder
			c.Diagnose(&text)
			t.Log(text.String())
		}
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}
