package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"praefect/test/must"
)

func TestGitlab_allowsEverything(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	done := make(chan error, 1)
	for range 2 { // the second finds the socket of the first
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- command(io.Discard, io.Discard).Run(ctx, []string{"test-gitaly", "gitlab", socket}) }()
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			for {
				conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
				if err == nil || ctx.Err() != nil {
					return conn, err
				}
			}
		}}
		client := &http.Client{Transport: transport}
		for path, want := range map[string]string{
			"/api/v4/internal/allowed": "status", "/api/v4/internal/pre_receive": "reference_counter_increased",
			"/api/v4/internal/post_receive": "reference_counter_decreased",
		} {
			answer, err := client.Post("http://gitlab"+path, "application/json", nil)
			must.Succeed(t, err)
			var got map[string]any
			err = json.NewDecoder(answer.Body).Decode(&got)
			if got[want] != true || err != nil || answer.Body.Close() != nil {
				t.Errorf("%s: got %v, %v; want %s", path, got, err, want)
			}
		}
		if answer, err := client.Get("http://gitlab/elsewhere"); err != nil || answer.StatusCode != http.StatusNotFound || answer.Body.Close() != nil {
			t.Errorf("elsewhere: got %v, %v", answer, err)
		}
		transport.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
