package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"
	"google.golang.org/grpc"

	"praefect/config"
	"praefect/proxy/storage"
)

const (
	// instanceDialTimeout bounds how long a sub-command waits for the instance to be there.
	instanceDialTimeout = 10 * time.Second
	// instanceCallTimeout bounds one call to it.
	instanceCallTimeout = time.Minute
)

// withInstance calls do with a connection to the instance that has the settings.
func (p *program) withInstance(ctx context.Context, cmd *cli.Command, do func(context.Context, *config.Config, *grpc.ClientConn) error) error {
	return p.withSettings(func(ctx context.Context, _ *cli.Command, cfg *config.Config) error {
		return dialInstance(ctx, cfg, func(cc *grpc.ClientConn) error { return do(ctx, cfg, cc) })
	})(ctx, cmd)
}

// dialInstance calls do once the instance has been reached.
func dialInstance(ctx context.Context, cfg *config.Config, do func(*grpc.ClientConn) error) (err error) {
	address, err := cfg.DialAddress()
	if err != nil {
		return err
	}
	cc, err := storage.NewClient(address, cfg.Auth.Token.Reveal())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cc.Close()) }()
	dialing, cancel := context.WithTimeout(ctx, instanceDialTimeout)
	defer cancel()
	if err := connect(dialing, cc); err != nil {
		return fmt.Errorf("dial the instance at %s: %w", address, err)
	}
	return do(cc)
}

// The flags by which commands name a repository. The second name of the path is
// that of older releases.
func repositoryFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "virtual-storage", Required: true, Usage: "the repository's virtual storage: `NAME`"},
		&cli.StringFlag{Name: "relative-path", Aliases: []string{"repository"}, Required: true, Usage: "the repository's relative `PATH`"},
	}
}
