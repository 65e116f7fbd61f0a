package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/urfave/cli/v3"

	"praefect/proxy/admin"
)

// contexts are the clusters that an operator works with, as kept in a file of their own.
type contexts struct {
	// Current is the one in use where nothing else is named.
	Current  string                    `toml:"current,omitempty" json:"current"`
	Contexts map[string]clusterContext `toml:"context,omitempty" json:"contexts"`
}

// clusterContext is how one cluster is reached. It holds paths of secrets, never a secret.
type clusterContext struct {
	Endpoints      []string `toml:"endpoints" json:"endpoints"`
	TokenFile      string   `toml:"token_file,omitempty" json:"token_file,omitempty"`
	AdminTokenFile string   `toml:"admin_token_file,omitempty" json:"admin_token_file,omitempty"`
	// CAFile has the certificates that vouch for the instances; without one the system's do.
	CAFile string `toml:"ca_file,omitempty" json:"ca_file,omitempty"`
}

// contextsPath is where the contexts are kept; empty if there is no home.
func (p *program) contextsPath() string {
	if dir := p.getenv("XDG_CONFIG_HOME"); dir != "" {
		return filepath.Join(dir, "praefectctl", "config.toml")
	}
	if home := p.getenv("HOME"); home != "" {
		return filepath.Join(home, ".config", "praefectctl", "config.toml")
	}
	return ""
}

// readContexts reads the contexts; a file that does not exist has none.
func (p *program) readContexts() (contexts, error) {
	found := contexts{Contexts: map[string]clusterContext{}}
	path := p.contextsPath()
	if path == "" {
		return found, nil
	}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return found, nil
	case err != nil:
		return found, fmt.Errorf("read the contexts: %w", err)
	}
	d := toml.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&found); err != nil {
		detail := ""
		if strict, ok := errors.AsType[*toml.StrictMissingError](err); ok {
			detail = ":\n" + strict.String()
		}
		return found, coded{exitUsage, fmt.Errorf("read the contexts in %s: %w%s", path, err, detail)}
	}
	if found.Contexts == nil {
		found.Contexts = map[string]clusterContext{}
	}
	return found, nil
}

// writeContexts replaces the file at once.
func (p *program) writeContexts(c contexts) error {
	path := p.contextsPath()
	if path == "" {
		return usage("there is no place for contexts: set HOME or XDG_CONFIG_HOME")
	}
	text, err := toml.Marshal(c)
	if err != nil {
		return fmt.Errorf("write the contexts: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write the contexts: %w", err)
	}
	return replaceFile(path, text, 0o600)
}

// named returns a context by its name.
func (c contexts) named(name string) (clusterContext, error) {
	found, ok := c.Contexts[name]
	if !ok {
		known := strings.Join(slices.Sorted(maps.Keys(c.Contexts)), ", ")
		return found, usage("there is no context %q; there are: %s", name, cmp.Or(known, "none"))
	}
	return found, nil
}

func (p *program) contextList() *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "list the contexts; the current one is marked",
		Action: p.offline(nil, func(_ context.Context, r *run) error {
			c, err := p.readContexts()
			if err != nil {
				return err
			}
			document := struct {
				Schema int `json:"schema"`
				contexts
			}{admin.Schema, c}
			return r.answer(document, func(out *output) {
				rows := [][]string{}
				for _, name := range slices.Sorted(maps.Keys(c.Contexts)) {
					k := c.Contexts[name]
					current := ""
					if name == c.Current {
						current = out.mark(good)
					}
					rows = append(rows, []string{current, name, strings.Join(k.Endpoints, ","), k.TokenFile, k.AdminTokenFile, k.CAFile})
				}
				if len(rows) == 0 {
					out.printf("no contexts in %s; praefectctl context set NAME -endpoints … makes one\n", p.contextsPath())
					return
				}
				out.table([]string{"", "CONTEXT", "ENDPOINTS", "TOKEN FILE", "ADMIN TOKEN FILE", "CA FILE"}, rows)
			})
		}),
	}
}

func (p *program) contextUse() *cli.Command {
	return &cli.Command{
		Name: "use", Usage: "make a context the current one", ArgsUsage: "NAME",
		Action: p.offline([]string{"NAME"}, func(_ context.Context, r *run) error {
			c, err := p.readContexts()
			if err != nil {
				return err
			}
			if _, err := c.named(r.args[0]); err != nil {
				return err
			}
			c.Current = r.args[0]
			return r.kept(c, "context %s is the current one", c.Current)
		}),
	}
}

func (p *program) contextSet() *cli.Command {
	return &cli.Command{
		Name: "set", Usage: "make a context, or change what is given of it", ArgsUsage: "NAME",
		Description: "Takes -endpoints, -token-file, -admin-token-file and -ca-file. The first context is the\n" +
			"current one. Files are named, and their content is never copied.",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "delete", Usage: "delete the context instead"}},
		Action: p.offline([]string{"NAME"}, func(_ context.Context, r *run) error {
			name := r.args[0]
			c, err := p.readContexts()
			if err != nil {
				return err
			}
			if r.cmd.Bool("delete") {
				if _, err := c.named(name); err != nil {
					return err
				}
				delete(c.Contexts, name)
				if c.Current == name {
					c.Current = ""
				}
				return r.kept(c, "context %s is deleted", name)
			}
			k := c.Contexts[name]
			if r.cmd.IsSet("endpoints") {
				k.Endpoints = addresses(r.cmd.String("endpoints"))
			}
			for flag, to := range map[string]*string{"token-file": &k.TokenFile, "admin-token-file": &k.AdminTokenFile, "ca-file": &k.CAFile} {
				if !r.cmd.IsSet(flag) {
					continue
				}
				if *to, err = filepath.Abs(r.cmd.String(flag)); err != nil {
					return fmt.Errorf("find %s: %w", flag, err)
				}
			}
			if len(k.Endpoints) == 0 {
				return usage("context set: -endpoints is missing")
			}
			c.Contexts[name] = k
			if c.Current == "" {
				c.Current = name
			}
			return r.kept(c, "context %s asks %s", name, strings.Join(k.Endpoints, ", "))
		}),
	}
}

// kept writes changed contexts, and prints the change.
func (r *run) kept(c contexts, format string, args ...any) error {
	if err := r.writeContexts(c); err != nil {
		return err
	}
	text := fmt.Sprintf(format, args...)
	document := struct {
		Schema int    `json:"schema"`
		Done   string `json:"done"`
	}{admin.Schema, text}
	return r.answer(document, func(out *output) { out.printf("%s %s\n", out.mark(good), text) })
}
