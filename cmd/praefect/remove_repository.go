package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v3"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"praefect/config"
	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/replicator/postgres"
)

const (
	// removePoll is how often remove-repository looks whether storages are left.
	removePoll = time.Second
	// removeTimeout is how long it waits for one of them to be done.
	removeTimeout = 30 * time.Second
)

var errNotTracked = errors.New("repository is not being tracked in Praefect")

func (p *program) removeRepository() *cli.Command {
	return &cli.Command{
		Name:  "remove-repository",
		Usage: "remove a repository from every storage",
		Description: "Without -apply it only looks whether there is such a repository. With -db-only just\n" +
			"its entry in Postgres is removed, by which it has its number; if the repository is\n" +
			"there it gets another number later.",
		Flags: append(repositoryFlags(),
			&cli.BoolFlag{Name: "apply", Usage: "remove it"},
			&cli.BoolFlag{Name: "db-only", Usage: "remove nothing from the storages"}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			key := state.Key{VirtualStorage: cmd.String("virtual-storage"), RelativePath: cmd.String("relative-path")}
			if cmd.Bool("db-only") {
				return p.withDatabase(func(ctx context.Context, cmd *cli.Command, db *postgres.DB) error {
					return p.removeEntry(ctx, postgres.NewCatalogue(db), key, cmd.Bool("apply"))
				})(ctx, cmd)
			}
			return p.withInstance(ctx, cmd, func(ctx context.Context, _ *config.Config, cc *grpc.ClientConn) error {
				return p.removeEverywhere(ctx, cc, key, cmd.Bool("apply"))
			})
		},
	}
}

// hint tells how to go on.
func (p *program) hint() error {
	return p.print("Repository found in the database.\n" +
		"Nothing was removed: run the command with -apply to remove the repository from the database and from the storages,\n" +
		"or with -apply -db-only to remove it from the database alone.\n")
}

func (p *program) removeEntry(ctx context.Context, catalogue *postgres.Catalogue, key state.Key, apply bool) error {
	_, found, err := catalogue.Find(ctx, key)
	switch {
	case err != nil:
		return err
	case !found:
		return errNotTracked
	case !apply:
		return p.hint()
	}
	if err := catalogue.Remove(ctx, []state.Key{key}); err != nil {
		return err
	}
	return p.print(key.RelativePath + " was removed from the database alone.\n")
}

func (p *program) removeEverywhere(ctx context.Context, cc *grpc.ClientConn, key state.Key, apply bool) error {
	calling, cancel := context.WithTimeout(ctx, instanceCallTimeout)
	defer cancel()
	_, err := gitalypb.NewPraefectInfoServiceClient(cc).GetRepositoryMetadata(calling, metadataByPath(key.VirtualStorage, key.RelativePath))
	switch {
	case grpcstatus.Code(err) == codes.NotFound:
		return errNotTracked
	case err != nil:
		return fmt.Errorf("look for the repository: %w", err)
	case !apply:
		return p.hint()
	}
	_, err = gitalypb.NewRepositoryServiceClient(cc).RemoveRepository(calling, &gitalypb.RemoveRepositoryRequest{
		Repository: &gitalypb.Repository{StorageName: key.VirtualStorage, RelativePath: key.RelativePath},
	})
	if err != nil {
		return fmt.Errorf("remove the repository: %w", err)
	}
	client := admin.NewClient(cc)
	left, err := awaitRemoval(ctx, func(ctx context.Context) ([]string, error) { return behind(ctx, client, key) })
	switch {
	case err != nil:
		return fmt.Errorf("the repository is removed; whether from every storage could not be asked: %w", err)
	case len(left) > 0:
		return p.print(fmt.Sprintf("%s was removed. These storages still have to remove their replicas, and will by themselves as soon as they can: %s\n",
			key.RelativePath, strings.Join(left, ", ")))
	}
	return p.print(key.RelativePath + " was removed from the database and from every storage.\n")
}

// behind asks which storages have not removed their replica of a repository.
func behind(ctx context.Context, client *admin.Client, key state.Key) (left []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, instanceDialTimeout)
	defer cancel()
	answer, err := client.Dataloss(ctx, admin.DatalossRequest{VirtualStorage: key.VirtualStorage, RelativePath: key.RelativePath})
	for _, r := range answer.Repositories {
		left = append(left, r.Behind...)
	}
	return left, err
}

// awaitRemoval asks until no storage is left. When nothing has happened for a while it returns the
// ones that are left.
func awaitRemoval(ctx context.Context, ask func(context.Context) (left []string, err error)) (left []string, err error) {
	tick := time.NewTicker(removePoll)
	defer tick.Stop()
	changed := time.Now()
	for before := -1; ; before = len(left) {
		if left, err = ask(ctx); err != nil || len(left) == 0 {
			return left, err
		}
		switch {
		case len(left) != before:
			changed = time.Now()
		case time.Since(changed) >= removeTimeout:
			return left, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return left, ctx.Err()
		}
	}
}
