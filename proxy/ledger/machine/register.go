package machine

import "slices"

// register counts the write as in flight.
func (ws *writes) register(w *write) {
	if w.registered {
		return
	}
	ws.tally(w, -1)
	w.registered = true
	ws.tally(w, 1)
	for _, r := range w.on() {
		ws.intents.unpark(r)
		r.writes++
		w.beside = w.beside || r.deletes > 0
		if w.deletes {
			r.deletes++
			ws.deleting(r)
		}
		ws.locks.invalidate(r)
	}
}

func (ws *writes) unregister(w *write) {
	if !w.registered {
		return
	}
	ws.tally(w, -1)
	w.registered = false
	ws.tally(w, 1)
	for _, r := range w.on() {
		if !w.route.Votes {
			r.aloneAt = ws.now
		}
		if w.deletes {
			r.deletes--
		}
		if r.writes--; r.guard != nil {
			ws.intents.resumeWaiters(r)
		}
		ws.intents.queueFlush(r)
	}
}

// deleting tells the writes of a repository that a delete is under way with them.
func (ws *writes) deleting(r *repo) {
	for _, w := range ws.all {
		if w.registered && slices.Contains(w.on(), r) {
			w.beside = true
		}
	}
}
