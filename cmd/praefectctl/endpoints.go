package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v3"

	"praefect/config"
	"praefect/proxy/admin"
)

// endpoints are the instances to ask, and the tokens to show.
type endpoints struct {
	addresses         []string
	token, adminToken string
}

// endpoints reads from flags, settings and environment where to ask.
func (p *program) endpoints(ctx context.Context, cmd *cli.Command) (endpoints, error) {
	var found endpoints
	list := cmd.String("endpoints")
	if path := cmd.String("config"); path != "" && list == "" {
		cfg, err := config.Load(ctx, path, p.getenv)
		if err != nil {
			return endpoints{}, err
		}
		address, err := cfg.DialAddress()
		if err != nil {
			return endpoints{}, err
		}
		found = endpoints{[]string{address}, cfg.Auth.Token.Reveal(), cmp.Or(cfg.Admin.Token.Reveal(), admin.LocalToken(cfg.Raft.DataDir))}
	} else {
		found.addresses = addresses(cmp.Or(list, p.getenv("PRAEFECT_ENDPOINTS")))
		if err := p.readToken(cmd, "token-file", "PRAEFECT_TOKEN_FILE", &found.token); err != nil {
			return endpoints{}, err
		}
	}
	if len(found.addresses) == 0 {
		return endpoints{}, usage("no instance to ask: give -config or -endpoints, or set PRAEFECT_ENDPOINTS")
	}
	return found, p.readToken(cmd, "admin-token-file", "PRAEFECT_ADMIN_TOKEN_FILE", &found.adminToken)
}

// addresses are those in a list with commas between.
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

// readToken reads the file that a flag or a variable names, if one does.
func (p *program) readToken(cmd *cli.Command, flag, variable string, token *string) error {
	path := cmp.Or(cmd.String(flag), p.getenv(variable))
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
