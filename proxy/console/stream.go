package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// beatEvery is the time between signs of life. A page that hears none for three of them takes the
// stream for dropped: a connection may be dead without an error.
const beatEvery = 2 * time.Second

// beat is a sign of life.
type beat struct {
	Now time.Time `json:"now"`
	// At is when each part was last known to be true.
	At map[string]*time.Time `json:"at"`
}

// stream sends a page the changes, as server-sent events, until life or the session ends. A page
// that takes nothing for writeTimeout loses its stream.
func (c *Console) stream(life context.Context, w http.ResponseWriter, r *http.Request, s *session) {
	if !c.sessions.openStream(s) {
		refuse(w, http.StatusTooManyRequests, fmt.Sprintf("this session has %d streams: close a tab", streamsOfOne))
		return
	}
	defer c.sessions.closeStream(s)
	watcher := c.feed.watch()
	if watcher == nil {
		refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("%d pages are open at this instance: close one, or ask another instance", maxStreams))
		return
	}
	defer c.feed.leave(watcher)
	out := &events{w: w, control: http.NewResponseController(w)}
	w.Header().Set("Content-Type", "text/event-stream")
	endless(w)
	beats := time.NewTicker(beatEvery)
	defer beats.Stop()
	err := out.send("beat", beat{time.Now().UTC(), c.feed.ages()})
	for err == nil {
		select {
		case <-life.Done():
			return
		case <-r.Context().Done():
			return
		case <-watcher.ready:
			for name, what := range c.feed.take(watcher) {
				if err == nil {
					err = out.send(name, what)
				}
			}
		case <-beats.C:
			if !c.sessions.goesOn(time.Now(), s, c.cfg.Tokens()) {
				_ = out.send("end", struct{}{}) // the stream ends in either case
				return
			}
			err = out.send("beat", beat{time.Now().UTC(), c.feed.ages()})
		}
	}
}

// events writes server-sent events.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// send writes one event, within writeTimeout.
func (e *events) send(name string, document any) error {
	text, err := json.Marshal(document)
	if err != nil {
		return err
	}
	if err := e.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(e.w, "event: %s\ndata: %s\n\n", name, text); err != nil {
		return err
	}
	return e.control.Flush()
}
