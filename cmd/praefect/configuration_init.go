package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v3"

	"praefect/config"
)

const configurationInitHelp = `Writes, for each instance of a new cluster, a directory with complete settings and
new secrets:

  DIR/INSTANCE/config.toml  every setting with its default, and those of the cluster
  DIR/INSTANCE/secrets/     tokens, the same for every instance

Copy the directory of each instance to -etc on its host. Give the Gitaly servers the
token in secrets/gitaly-token, the clients that in secrets/client-token, and the role in
Postgres the password in secrets/database-password, or bring your own by the flags. With
-tls, also copy the files of "praefectctl tls init" to the directory tls below it.

What no flag says is asked for on the terminal. Nothing that exists is overwritten.`

func (p *program) configurationInit() *cli.Command {
	return &cli.Command{
		Name:        "init",
		Usage:       "write the settings of a new cluster",
		Description: configurationInitHelp,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "dir", Value: "praefect", Usage: "the `DIRECTORY` to write to"},
			&cli.StringFlag{Name: "etc", Value: "/etc/praefect", Usage: "the `DIRECTORY` of the files on each host"},
			&cli.StringSliceFlag{Name: "instance", Usage: "an instance and its host: `NAME=HOST`; 3 or 5 of them"},
			&cli.StringFlag{Name: "virtual-storage", Value: "default", Usage: "the `NAME` that clients use"},
			&cli.StringSliceFlag{Name: "storage", Usage: "a storage and its address: `NAME=ADDRESS`, as in gitaly-1=tcp://10.0.0.11:8075; the first primary first"},
			&cli.StringFlag{Name: "storage-token-file", Usage: "the token of the Gitaly servers, in a `FILE`; default: a new one"},
			&cli.StringFlag{Name: "database-host", Usage: "the `HOST` of Postgres"},
			&cli.StringFlag{Name: "database-user", Value: "praefect", Usage: "the `ROLE` in Postgres"},
			&cli.StringFlag{Name: "database-name", Value: "praefect_production", Usage: "the `DATABASE` in Postgres"},
			&cli.StringFlag{Name: "database-password-file", Usage: "its password, in a `FILE`; default: a new one"},
			&cli.BoolFlag{Name: "tls", Usage: "show certificates, to clients and between instances"},
		},
		Action: p.initConfiguration,
	}
}

func (p *program) initConfiguration(_ context.Context, cmd *cli.Command) error {
	if err := noArguments(cmd); err != nil {
		return err
	}
	plan, err := p.plan(cmd)
	if err != nil {
		return err
	}
	files, err := filesOf(plan, cmd.String("storage-token-file"), cmd.String("database-password-file"))
	if err != nil {
		return err
	}
	for _, i := range plan.Instances {
		dir := filepath.Join(cmd.String("dir"), i.Name)
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			return cmp.Or(err, fmt.Errorf("%q exists: nothing was written; choose another -dir", dir))
		}
	}
	for _, i := range plan.Instances {
		text, err := plan.File(i.Name)
		if err != nil {
			return err
		}
		dir := filepath.Join(cmd.String("dir"), i.Name)
		files["config.toml"] = text
		if err := writeAll(dir, files); err != nil {
			return err
		}
		if err := p.println(fmt.Sprintf("%s: copy it to %s on %s", dir, plan.Etc, i.Address)); err != nil {
			return err
		}
	}
	return nil
}

// filesOf are the secrets of a cluster.
func filesOf(plan config.Plan, storageToken, databasePassword string) (map[string]string, error) {
	files := map[string]string{
		config.PlanClientToken: rand.Text() + "\n", config.PlanAdminToken: rand.Text() + "\n",
		config.PlanStorageToken: rand.Text() + "\n", config.PlanDatabasePassword: rand.Text() + "\n",
	}
	if !plan.TLS {
		files[config.PlanPeerSecret] = rand.Text() + "\n"
	}
	for name, given := range map[string]string{config.PlanStorageToken: storageToken, config.PlanDatabasePassword: databasePassword} {
		if given == "" {
			continue
		}
		text, err := os.ReadFile(given)
		if err != nil {
			return nil, err
		}
		files[name] = string(text)
	}
	return files, nil
}

// writeAll writes new files that only their owner can read.
func writeAll(dir string, files map[string]string) error {
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// plan is the plan by the flags and the answers.
func (p *program) plan(cmd *cli.Command) (plan config.Plan, err error) {
	answers := bufio.NewReader(p.stdin)
	ask := func(flag string, given []string, question string) ([]string, error) {
		if len(given) > 0 {
			return given, nil
		}
		fmt.Fprintf(p.stderr, "%s ", question)
		line, err := answers.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read the answer: %w", err)
		}
		if words := strings.Fields(line); len(words) > 0 {
			return words, nil
		}
		return nil, fmt.Errorf("no answer: give it as -%s", flag)
	}
	plan = config.Plan{
		VirtualStorage: cmd.String("virtual-storage"), DatabaseUser: cmd.String("database-user"), DatabaseName: cmd.String("database-name"),
		Etc: cmd.String("etc"), TLS: cmd.Bool("tls"),
	}
	instances, err := ask("instance", cmd.StringSlice("instance"), "Instances, 3 or 5, as NAME=HOST with spaces between:")
	if err != nil {
		return plan, err
	}
	if plan.Instances, err = members("instance", instances); err != nil {
		return plan, err
	}
	if n := len(plan.Instances); n != 3 && n != 5 {
		return plan, fmt.Errorf("%d instances: a cluster has 3 or 5, of which 1 or 2 may be lost", n)
	}
	storages, err := ask("storage", cmd.StringSlice("storage"), "Storages, the first primary first, as NAME=ADDRESS with spaces between (gitaly-1=tcp://10.0.0.11:8075):")
	if err != nil {
		return plan, err
	}
	if plan.Storages, err = members("storage", storages); err != nil {
		return plan, err
	}
	var given []string
	if host := cmd.String("database-host"); host != "" {
		given = []string{host}
	}
	host, err := ask("database-host", given, "Host of Postgres:")
	if err != nil {
		return plan, err
	}
	plan.DatabaseHost = host[0]
	return plan, plan.Check()
}

// members reads words of the form NAME=ADDRESS.
func members(flag string, words []string) ([]config.Member, error) {
	var list []config.Member
	for _, word := range words {
		name, address, found := strings.Cut(word, "=")
		if !found || name == "" || address == "" {
			return nil, fmt.Errorf("-%s %q: write NAME=ADDRESS", flag, word)
		}
		if name != filepath.Base(name) || strings.HasPrefix(name, ".") {
			return nil, fmt.Errorf("-%s %q: %q cannot be the name of a directory", flag, word, name)
		}
		list = append(list, config.Member{Name: name, Address: address})
	}
	return list, nil
}
