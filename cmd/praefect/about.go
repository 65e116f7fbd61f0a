package main

import (
	"context"
	"crypto/rand"
	"log/slog"

	"google.golang.org/grpc"

	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/proxy/info"
	"praefect/replicator/postgres"
	"praefect/replicator/queue"
)

// answering are the services that an instance answers itself beside the services of the proxy.
type answering []interface{ Register(grpc.ServiceRegistrar) }

func (a answering) register(r grpc.ServiceRegistrar) {
	for _, service := range a {
		service.Register(r)
	}
}

// aboutRepositories is the service that tells of repositories. It passes calls that lose data to
// the operators' service, which asks for their proof.
func aboutRepositories(node info.Node, storages info.Storages, catalogue *postgres.Catalogue, operators *admin.Service, log *slog.Logger) *info.Service {
	asked := func(ctx context.Context, key state.Key, storage string) context.Context {
		return admin.Authority{VirtualStorage: key.VirtualStorage, RelativePath: key.RelativePath, Storage: storage, Why: admin.Reason(ctx)}.Asked(ctx)
	}
	return info.New(info.Deps{
		Node: node, Storages: storages, Catalogue: numbers{catalogue}, Log: log,
		MayAcceptLoss: func(ctx context.Context, key state.Key, storage string) error {
			return operators.MayChange(asked(ctx, key, storage))
		},
		AcceptLoss: func(ctx context.Context, key state.Key, storage string) error {
			_, err := operators.AcceptLoss(asked(ctx, key, storage), admin.AcceptLossRequest{
				Change:         admin.Change{RequestID: rand.Text(), By: "SetAuthoritativeStorage", Why: admin.Reason(ctx)},
				VirtualStorage: key.VirtualStorage, RelativePath: key.RelativePath, Storage: storage,
			})
			return err
		},
	})
}

// numbers is the catalogue in the terms of that service.
type numbers struct{ *postgres.Catalogue }

func (n numbers) Ensure(ctx context.Context, key state.Key) (info.Repository, error) {
	r, err := n.Catalogue.Ensure(ctx, key)
	return numbered(r), err
}

func (n numbers) Find(ctx context.Context, key state.Key) (info.Repository, bool, error) {
	r, found, err := n.Catalogue.Find(ctx, key)
	return numbered(r), found, err
}

func (n numbers) ByID(ctx context.Context, id int64) (info.Repository, bool, error) {
	r, found, err := n.Catalogue.ByID(ctx, id)
	return numbered(r), found, err
}

func (n numbers) MarkUnverified(ctx context.Context, key state.Key, storage string) (int64, error) {
	return n.Catalogue.Request(ctx, queue.Marked{Key: key, Storage: storage})
}

func numbered(r postgres.Repository) info.Repository {
	return info.Repository{ID: r.ID, Key: state.Key(r.Key), Verified: r.Verified}
}
