package storage

import (
	"context"
	"errors"
)

// speech is whether a storage speaks the backchannel, as far as is known.
type speech int

const (
	unheard speech = iota
	speaks
	mute
)

// dial makes and verifies a connection to the storage: with the backchannel, or
// without if the storage does not speak it. A server that is just starting or
// stopping may have seemed so, because all that can be seen is that it closes the
// connection; so one that was not found mute before is asked once more when it
// has answered without.
//
// The findings of attempts with the backchannel do not count for others: if
// a server was there at all, the attempt without says how it is.
func (l *link) dial(ctx context.Context) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.VerifyTimeout)
	defer cancel()
	attempt := func(backchannel bool) (*Conn, error) {
		return dial(ctx, l.place.Load(), l.generation+1, l.cfg, backchannel)
	}
	if l.cfg.Backchannel == nil {
		return attempt(false)
	}
	conn, err := attempt(true)
	if failure, ok := errors.AsType[*dialError](err); !ok || !failure.notSpoken {
		return conn, err
	}
	conn, err = attempt(false)
	if err != nil || l.speech == mute {
		return conn, err
	}
	if better, err := attempt(true); err == nil {
		_ = conn.close() // it was open
		return better, nil
	}
	return conn, nil
}

// spoke notes whether the storage speaks the backchannel, and logs once the change that has
// changed.
func (l *link) spoke(backchannel bool) {
	before := l.speech
	switch {
	case l.cfg.Backchannel == nil:
		return
	case backchannel:
		l.speech = speaks
	default:
		l.speech = mute
	}
	switch {
	case l.speech == mute && before != mute:
		l.log.Warn("storage does not speak the backchannel: writes to it cannot be voted on", "address", l.place.Load().target.Address)
	case l.speech == speaks && before == mute:
		l.log.Info("storage speaks the backchannel now", "address", l.place.Load().target.Address)
	}
}
