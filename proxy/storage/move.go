package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// place is where a storage is, and the secret that proves there that we may come. It is immutable but for the secret.
type place struct {
	target Target
	addr   address
	secret *secret
}

func newPlace(t Target, addr address) *place { return &place{t, addr, newSecret(t.Token)} }

// CheckMove tells whether Move with the same targets would lead each storage that is reachable now to the same disk: it
// connects to every address that is new. It reports all faults at once. A storage that is not reachable, and one that
// the Set does not know, is not looked at.
func (s *Set) CheckMove(ctx context.Context, targets []Target) error {
	faults := make([]error, len(targets))
	var all sync.WaitGroup
	for i, t := range targets {
		l := s.byKey[key{t.VirtualStorage, t.Storage}]
		if l == nil {
			continue
		}
		addr, err := parseAddress(t.Address)
		if err != nil {
			faults[i] = fmt.Errorf("storage %q of virtual storage %q: %w", t.Storage, t.VirtualStorage, err)
			continue
		}
		if now := l.current.Load(); now.conn != nil && t.Address != l.place.Load().target.Address {
			all.Go(func() { faults[i] = l.checkMove(ctx, newPlace(t, addr), now.conn.FilesystemID()) })
		}
	}
	all.Wait()
	return errors.Join(faults...)
}

// checkMove asks at another place for the disk of the storage.
func (l *link) checkMove(ctx context.Context, to *place, disk string) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.VerifyTimeout)
	defer cancel()
	trial, found, err := open(ctx, to, l.cfg, to.addr.transport(l.cfg))
	if err == nil {
		err = trial.cc.Close()
	}
	if err == nil && found.filesystemID != disk {
		err = fmt.Errorf("the disk there is %q, and the storage's is %q", found.filesystemID, disk)
	}
	if err != nil {
		return fmt.Errorf("storage %q of virtual storage %q is reachable at %s, and would not be at %s: %w",
			to.target.Storage, to.target.VirtualStorage, l.place.Load().target.Address, to.target.Address, err)
	}
	return nil
}

// Move has the storages of the Set at other addresses, or under other tokens, from now on. RPCs under way end where they
// began. A storage with a new address is connected there before the connection of before is given up; with a new token, RPCs that begin from now on carry it. Targets
// that the Set does not know are passed over, and storages without a target stay. CheckMove says before whether it can
// go well. Move is for one goroutine at a time.
func (s *Set) Move(targets []Target) error {
	places := make([]*place, len(targets))
	for i, t := range targets {
		addr, err := parseAddress(t.Address)
		if err != nil {
			return fmt.Errorf("storage %q of virtual storage %q: %w", t.Storage, t.VirtualStorage, err)
		}
		places[i] = newPlace(t, addr)
	}
	for _, to := range places {
		l := s.byKey[key{to.target.VirtualStorage, to.target.Storage}]
		if l == nil {
			continue
		}
		was := l.place.Load()
		if was.target == to.target {
			continue
		}
		was.secret.current.Store(&to.target.Token) // also for calls that go on at the old address
		if was.target.Address == to.target.Address {
			to.secret = was.secret
			l.place.Store(to)
			continue
		}
		l.place.Store(to)
		if w := l.watched.Load(); w != nil {
			w.end(errMoved)
		}
		l.log.Info("the storage has another address", "before", was.target.Address, "address", to.target.Address)
	}
	return nil
}
