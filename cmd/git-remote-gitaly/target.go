package main

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
)

// Praefect's usual ports.
const (
	plainPort = "2305"
	tlsPort   = "3305"
)

// target is the destination of a URL.
type target struct {
	host string // host:port
	tls  bool
	repo *gitalypb.Repository
}

// parseTarget reads gitaly://HOST[:PORT]/VIRTUAL-STORAGE/PATH, or gitalys://.
func parseTarget(raw string) (*target, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("malformed URL: %w", err)
	}
	t := &target{}
	port := plainPort
	switch u.Scheme {
	case "gitaly":
	case "gitalys":
		t.tls, port = true, tlsPort
	default:
		return nil, fmt.Errorf("URL %q begins with neither gitaly:// nor gitalys://", raw)
	}
	storage, path, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	path = strings.Trim(path, "/")
	switch {
	case u.Hostname() == "":
		return nil, fmt.Errorf("URL %q has no host", raw)
	case !ok || storage == "" || path == "":
		return nil, fmt.Errorf("URL %q lacks /VIRTUAL-STORAGE/PATH after the host", raw)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("URL of %q has parts other than a host and a path", u.Host)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	t.host = net.JoinHostPort(u.Hostname(), port)
	t.repo = &gitalypb.Repository{StorageName: storage, RelativePath: path, GlRepository: glRepository, GlProjectPath: strings.TrimSuffix(path, ".git")}
	return t, nil
}

// The pushing user, for the hooks of the server: there is no GitLab here that would tell.
const (
	glID         = "key-1"
	glUsername   = "git-remote-gitaly"
	glRepository = "project-1"
)
