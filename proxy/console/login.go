package console

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// maxName bounds the name that a user gives, which stands in the history.
const maxName = 64

// credentials are shown by a browser to sign in.
type credentials struct {
	Token string `json:"token"`
	// Name is for the history of changes; it is not checked.
	Name string `json:"name"`
}

// identity is the session as a page knows it.
type identity struct {
	Instance string `json:"instance"`
	Version  string `json:"version"`
	Name     string `json:"name"`
	// Acts tells that the session may change the cluster.
	Acts bool   `json:"acts"`
	CSRF string `json:"csrf"`
	// Ends is when the session ends at the latest.
	Ends time.Time `json:"ends"`
}

// cookieName differs between instances: browsers send a cookie to every port of a host.
func (c *Console) cookieName() string {
	sum := sha256.Sum256([]byte(c.cfg.Instance))
	name := "praefect-console-" + hex.EncodeToString(sum[:4])
	if c.cfg.Secure {
		return "__Host-" + name
	}
	return name
}

func (c *Console) cookie(value string) *http.Cookie {
	return &http.Cookie{
		Name: c.cookieName(), Value: value, Path: "/", HttpOnly: true, Secure: c.cfg.Secure, SameSite: http.SameSiteStrictMode,
	}
}

// current is the session of a request, nil if it has none.
func (c *Console) current(r *http.Request) *session {
	cookie, err := r.Cookie(c.cookieName())
	if err != nil {
		return nil
	}
	return c.sessions.find(time.Now(), cookie.Value, c.cfg.Tokens())
}

// login exchanges a token for a session.
func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	if !isJSON(r) {
		refuse(w, http.StatusUnsupportedMediaType, "the request is not of type application/json")
		return
	}
	from := remote(r)
	if wait := c.attempts.begin(time.Now(), from); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		refuse(w, http.StatusTooManyRequests, fmt.Sprintf("too many attempts: wait for %v", wait.Round(time.Second)))
		return
	}
	var shown credentials
	if !readBody(w, r, &shown) {
		return
	}
	name := strings.TrimSpace(shown.Name)
	if len(name) > maxName || strings.ContainsFunc(name, unicode.IsControl) {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("the name is longer than %d bytes, or has control characters", maxName))
		return
	}
	reads, acts := c.cfg.Tokens().judge(strings.TrimSpace(shown.Token))
	if !reads && !acts {
		c.cfg.Log.LogAttrs(r.Context(), slog.LevelWarn, "console: a login was refused", slog.String("address", from.String()))
		refuse(w, http.StatusUnauthorized, "this is neither the client token nor the admin token of "+c.cfg.Instance)
		return
	}
	cookie, s, ok := c.sessions.begin(time.Now(), name, acts, strings.TrimSpace(shown.Token))
	if !ok {
		refuse(w, http.StatusServiceUnavailable, "every session is in use by an operator: sign one out")
		return
	}
	c.attempts.succeeded(from)
	c.cfg.Log.LogAttrs(r.Context(), slog.LevelInfo, "console: signed in",
		slog.String("address", from.String()), slog.String("by", name), slog.Bool("may_change", acts))
	http.SetCookie(w, c.cookie(cookie))
	answer(w, c.identity(s))
}

// judge tells the rights of a token. Every secret is compared, in constant time.
func (t Tokens) judge(token string) (reads, acts bool) {
	shown := sha256.Sum256([]byte(token))
	same := func(secret string) bool {
		sum := sha256.Sum256([]byte(secret))
		return subtle.ConstantTimeCompare(sum[:], shown[:]) == 1 && secret != ""
	}
	for _, secret := range t.Read {
		if same(secret) {
			reads = true
		}
	}
	return reads, same(t.Act)
}

func (c *Console) logout(w http.ResponseWriter, _ *http.Request, s *session) {
	c.sessions.end(s)
	gone := c.cookie("")
	gone.MaxAge = -1
	http.SetCookie(w, gone)
	answer(w, struct{}{})
}

func (c *Console) session(w http.ResponseWriter, _ *http.Request, s *session) {
	answer(w, c.identity(s))
}

func (c *Console) identity(s *session) identity {
	return identity{
		Instance: c.cfg.Instance, Version: c.cfg.Version, Name: s.name, Acts: s.acts, CSRF: s.csrf, Ends: s.begun.Add(sessionLife).UTC(),
	}
}

// remote is the address that a request comes from. Headers that claim another are not believed.
func remote(r *http.Request) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return from.Addr()
}
