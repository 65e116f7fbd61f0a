package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v3"
	"google.golang.org/grpc"

	"praefect/config"
	"praefect/proxy/admin"
	"praefect/proxy/secure"
	"praefect/proxy/storage"
)

// endpoints are the instances to ask, the tokens to show, and the certificates that vouch for the
// instances, nil for the system's.
type endpoints struct {
	addresses         []string
	token, adminToken string
	roots             *x509.CertPool
}

// endpoints finds out where to ask. The first of these that is given names the instances:
// -endpoints, -config, -context, PRAEFECT_CONTEXT, PRAEFECT_ENDPOINTS, the current context. A token
// file or certificate named by a flag goes before one of a context, and that before one of the
// environment.
func (p *program) endpoints(ctx context.Context, cmd *cli.Command) (endpoints, error) {
	list := cmd.String("endpoints")
	if path := cmd.String("config"); path != "" && list == "" {
		return p.bySettings(ctx, cmd, path)
	}
	known, err := p.contextFor(cmd, list)
	if err != nil {
		return endpoints{}, err
	}
	found := endpoints{addresses: addresses(list)}
	switch {
	case len(found.addresses) > 0:
	case len(known.Endpoints) > 0:
		found.addresses = addresses(strings.Join(known.Endpoints, ","))
	default:
		found.addresses = addresses(p.getenv("PRAEFECT_ENDPOINTS"))
	}
	if len(found.addresses) == 0 {
		return endpoints{}, usage("no instance to ask: give -config, -endpoints or -context, set PRAEFECT_ENDPOINTS, or keep one by praefectctl context set")
	}
	if err := p.readToken(cmd, "token-file", known.TokenFile, "PRAEFECT_TOKEN_FILE", &found.token); err != nil {
		return endpoints{}, err
	}
	if err := p.readToken(cmd, "admin-token-file", known.AdminTokenFile, "PRAEFECT_ADMIN_TOKEN_FILE", &found.adminToken); err != nil {
		return endpoints{}, err
	}
	found.roots, err = readRoots(cmp.Or(cmd.String("ca-file"), known.CAFile, p.getenv("PRAEFECT_CA_FILE")))
	return found, err
}

// contextFor is the context to use, an empty one if none is.
func (p *program) contextFor(cmd *cli.Command, list string) (clusterContext, error) {
	name := cmd.String("context")
	if name == "" && list == "" {
		name = p.getenv("PRAEFECT_CONTEXT")
	}
	if name == "" && (list != "" || p.getenv("PRAEFECT_ENDPOINTS") != "") {
		return clusterContext{}, nil
	}
	all, err := p.readContexts()
	if err != nil {
		return clusterContext{}, err
	}
	if name = cmp.Or(name, all.Current); name == "" {
		return clusterContext{}, nil
	}
	return all.named(name)
}

// bySettings takes everything from the settings of an instance.
func (p *program) bySettings(ctx context.Context, cmd *cli.Command, path string) (endpoints, error) {
	cfg, err := config.Load(ctx, path, p.getenv)
	if err != nil {
		return endpoints{}, err
	}
	address, err := cfg.DialAddress()
	if err != nil {
		return endpoints{}, err
	}
	found := endpoints{
		addresses: []string{address}, token: cfg.Auth.Token.Reveal(), adminToken: cmp.Or(cfg.Admin.Token.Reveal(), admin.LocalToken(cfg.Raft.DataDir)),
	}
	if err := p.readToken(cmd, "admin-token-file", "", "PRAEFECT_ADMIN_TOKEN_FILE", &found.adminToken); err != nil {
		return endpoints{}, err
	}
	found.roots, err = readRoots(cmp.Or(cmd.String("ca-file"), p.getenv("PRAEFECT_CA_FILE")))
	return found, err
}

// readRoots reads the certificates in a file, if one is named.
func readRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the certificates that vouch for the instances: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, usage("%q holds no certificate", path)
	}
	return roots, nil
}

// dial returns a client of the instance at an address. It does no I/O.
func (e endpoints) dial(address string) (*grpc.ClientConn, error) {
	if e.roots == nil || !strings.HasPrefix(address, "tls://") {
		return storage.NewClient(address, e.token)
	}
	return storage.NewClient(address, e.token, grpc.WithTransportCredentials(secure.New(&tls.Config{RootCAs: e.roots, MinVersion: tls.VersionTLS12})))
}

// addresses are the addresses in a list with commas between.
func addresses(list string) (found []string) {
	for address := range strings.SplitSeq(list, ",") {
		address = strings.TrimSpace(address)
		if address == "" {
			continue
		}
		if !strings.Contains(address, "://") && !strings.HasPrefix(address, "unix:") && !strings.HasPrefix(address, "dns:") {
			address = "tcp://" + address
		}
		found = append(found, address)
	}
	return found
}

// readToken reads the file that a flag, a context or a variable names, if one does.
func (p *program) readToken(cmd *cli.Command, flag, kept, variable string, token *string) error {
	path := cmp.Or(cmd.String(flag), kept, p.getenv(variable))
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the token: %w", err)
	}
	*token = strings.TrimSpace(string(text))
	return nil
}
