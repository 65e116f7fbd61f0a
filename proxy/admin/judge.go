package admin

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"unicode"

	"google.golang.org/grpc/codes"

	"praefect/fsm/state"
)

// Bounds of the parts of a request that end up in the replicated state, in bytes.
const (
	maxRequestID = 64
	maxBy        = 100
	maxWhy       = 200
)

func errNoControl() error {
	return Errorf(NotAvailable, "this instance has no part in a cluster yet")
}

// MayChange tells whether the caller of ctx may change the cluster; the error is a
// status that says why not.
func (s *Service) MayChange(ctx context.Context) error { return s.access.Load().check(ctx) }

// prepare judges the caller of a change and whether the request is well formed,
// before a Control sees it. what is the request in the words of an operator. A plan, which changes
// nothing, needs no more than its form.
func (s *Service) prepare(ctx context.Context, c *Change, what string, plan bool) error {
	if plan {
		return s.form(c, what)
	}
	if err := s.access.Load().check(ctx); err != nil {
		return err
	}
	if err := s.form(c, what); err != nil {
		return err
	}
	s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "change asked for", slog.String("by", c.By), slog.String("why", c.Why), slog.String("request_id", c.RequestID))
	return nil
}

// form judges a request without regard to the caller.
func (s *Service) form(c *Change, what string) error {
	if c.RequestID == "" {
		return Errorf(Invalid, "the request has no id")
	}
	for _, text := range []struct {
		name, text string
		limit      int
	}{{"id", c.RequestID, maxRequestID}, {"by", c.By, maxBy}, {"why", c.Why, maxWhy}} {
		switch {
		case len(text.text) > text.limit:
			return Errorf(Invalid, "%q of the request has %d bytes: want at most %d", text.name, len(text.text), text.limit)
		case strings.ContainsFunc(text.text, unicode.IsControl):
			return Errorf(Invalid, "%q of the request has control characters: %q", text.name, text.text)
		}
	}
	if s.Control == nil {
		return errNoControl()
	}
	if !s.access.Load().Peers { // they have done it already
		who := c.By
		c.By = "operator: " + strings.TrimSpace(what)
		if who != "" {
			c.By += " (" + who + ")"
		}
		if c.Why != "" {
			c.By += ": " + c.Why
		}
	}
	return nil
}

// asError makes sure that an error of a Control says whether something may have
// changed.
func asError(err error) error {
	if err == nil {
		return nil
	}
	if told, ok := errors.AsType[*Error](err); ok {
		switch {
		case told.front && told.code == codes.Unimplemented:
			return Errorf(NotAvailable, "the leader runs a release that does not know this request; nothing was changed")
		case told.Kind == NotReached: // not this instance, but the one that it asked
			return Errorf(NoLeader, "the leader was not reached: %s", told.Message)
		}
		return told
	}
	if refusal, ok := errors.AsType[*state.Refusal](err); ok {
		return Errorf(Refused, "%v", refusal)
	}
	return Errorf(OutcomeUnknown, "%v", err)
}

// exists refuses the name of a virtual storage that does not exist; empty means
// all of them.
func exists(view *state.State, vs string) error {
	if vs != "" && view.VirtualStorage(vs) == nil {
		return Errorf(NotFound, "no virtual storage %q; praefectctl status lists them", vs)
	}
	return nil
}

// resolve makes sure that a storage exists, and finds its virtual storage if
// none is named.
func (s *Service) resolve(vs *string, storage string) error {
	view := s.Node.View()
	if err := exists(view, *vs); err != nil {
		return err
	}
	if storage == "" {
		return Errorf(Invalid, "no storage is named")
	}
	var found []string
	for i := range view.VirtualStorages {
		v := &view.VirtualStorages[i]
		if (*vs == "" || *vs == v.Name) && v.Storage(storage) != nil {
			found = append(found, v.Name)
		}
	}
	switch {
	case len(found) > 1:
		return Errorf(Invalid, "storage %q is in %d virtual storages, name one of them: %s", storage, len(found), strings.Join(found, ", "))
	case len(found) == 1:
		*vs = found[0]
		return nil
	case *vs != "":
		return Errorf(NotFound, "virtual storage %q has no storage %q; praefectctl status lists them", *vs, storage)
	}
	return Errorf(NotFound, "no virtual storage has a storage %q; praefectctl status lists them", storage)
}
