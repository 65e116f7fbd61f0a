package console

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"praefect/proxy/admin"
)

// planTimeout and actTimeout bound the questions to the cluster for one change.
const (
	planTimeout = 30 * time.Second
	actTimeout  = switchTimeout + 30*time.Second
	// finishTimeout bounds how long a change is followed whose page has gone.
	finishTimeout = 30 * time.Second
)

// readChange reads the request of a page; ok is false if it was refused.
func readChange(w http.ResponseWriter, r *http.Request) (o changeRequest, v verb, ok bool) {
	if !readBody(w, r, &o) {
		return o, v, false
	}
	v, known := verbs()[o.Verb]
	if !known || !v.needs(o) {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("%q is no change that can be made here, or lacks its object", o.Verb))
		return o, v, false
	}
	return o, v, true
}

// change names its author to the cluster.
func (c *Console) change(s *session, o changeRequest) admin.Change {
	by := "console of " + c.cfg.Instance
	if s.name != "" {
		by = s.name + ", " + by
	}
	return admin.Change{RequestID: o.RequestID, By: by, Why: o.Why}
}

// plan answers with the effect of a change. A session that may only read gets the line of praefectctl.
func (c *Console) plan(w http.ResponseWriter, r *http.Request, s *session) {
	o, v, ok := readChange(w, r)
	if !ok {
		return
	}
	if !s.acts {
		send(w, http.StatusForbidden, fault{Kind: admin.Denied, Message: o.command()})
		return
	}
	o.RequestID = rand.Text()
	ctx, cancel := context.WithTimeout(r.Context(), planTimeout)
	defer cancel()
	extend(w, planTimeout)
	p, err := v.propose(ctx, c.cluster(c.cfg.Tokens().Act), o, c.change(s, o))
	if err != nil {
		fail(w, err)
		return
	}
	p.Command, p.RequestID = o.command(), o.RequestID
	answer(w, p)
}

// news is one line of the answer to a change: progress, and at last the result or a fault.
type news struct {
	Progress *admin.Progress `json:"progress,omitempty"`
	Result   *result         `json:"result,omitempty"`
	Fault    *fault          `json:"fault,omitempty"`
}

// act carries out a change whose plan was looked at. It answers line by line; a page that goes
// away gives up a switchover as Ctrl-C does, and nothing else.
func (c *Console) act(w http.ResponseWriter, r *http.Request, s *session) {
	o, v, ok := readChange(w, r)
	switch {
	case !ok:
		return
	case !s.acts:
		send(w, http.StatusForbidden, fault{Kind: admin.Denied, Message: "changes need the admin token: sign in with it"})
		return
	case o.RequestID == "":
		refuse(w, http.StatusBadRequest, "a change names the request id of its plan")
		return
	case o.unconfirmed():
		send(w, http.StatusConflict, fault{Kind: admin.Refused, Message: "not confirmed: type " + o.Storage + "; nothing was changed"})
		return
	}
	cluster := c.cluster(c.cfg.Tokens().Act)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), actTimeout)
	defer cancel()
	if v.cancellable {
		defer context.AfterFunc(r.Context(), cancel)()
	} else {
		defer context.AfterFunc(r.Context(), func() { time.AfterFunc(finishTimeout, cancel) })()
	}
	endless(w)
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := &lines{w: w}
	done, err := v.carryOut(ctx, cluster, o, c.change(s, o), func(p admin.Progress) { out.send(news{Progress: &p}) })
	c.feed.changed()
	if err != nil {
		f := faultOf(err)
		out.send(news{Fault: &f})
		return
	}
	out.send(news{Result: &done})
}

// unconfirmed tells that a change gives something up and its operator has not typed its name.
func (o changeRequest) unconfirmed() bool {
	return (o.Verb == "accept-dataloss" || o.Verb == "refill") && o.Confirm != o.Storage
}

// lines writes the answer to a change.
type lines struct {
	mu sync.Mutex
	w  http.ResponseWriter
}

// send writes a line. One that cannot be sent is lost with its page, which the request's context
// tells.
func (l *lines) send(n news) {
	l.mu.Lock()
	defer l.mu.Unlock()
	extend(l.w, writeTimeout)
	_ = json.NewEncoder(l.w).Encode(n)
	_ = http.NewResponseController(l.w).Flush()
}

// extend gives an answer more time. A writer without deadlines has none that would hold.
func extend(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d))
}

// endless lets a request whose body was read go on: the server's bound of its reading would end
// it, and with it the stream.
func endless(w http.ResponseWriter) { _ = http.NewResponseController(w).SetReadDeadline(time.Time{}) }
