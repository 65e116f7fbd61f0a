package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
)

// gitlabAnswers are GitLab's answers to the hooks of a real Gitaly, by the last part of the path,
// if it allows everything.
func gitlabAnswers() map[string]string {
	return map[string]string{
		"allowed":      `{"status":true}`,
		"pre_receive":  `{"reference_counter_increased":true}`,
		"post_receive": `{"reference_counter_decreased":true,"messages":[]}`,
		"check":        `{"api_version":"v4","gitlab_version":"0","gitlab_rev":"0","redis":true}`,
	}
}

// gitlab answers them.
func gitlab() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, known := gitlabAnswers()[path.Base(r.URL.Path)]
		if !known {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer) // a client that is gone needs none
	})
}

// serveGitlab serves on a socket, which it makes anew, until ctx ends.
func serveGitlab(ctx context.Context, socket string) error {
	if err := os.RemoveAll(socket); err != nil {
		return fmt.Errorf("remove an old socket: %w", err)
	}
	lis, err := (&net.ListenConfig{}).Listen(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("listen for hooks of Gitaly: %w", err)
	}
	server := &http.Server{Handler: gitlab()}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // Serve ends with it
	defer stop()
	if err := server.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve hooks of Gitaly: %w", err)
	}
	return nil
}
