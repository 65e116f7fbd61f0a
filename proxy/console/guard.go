package console

import (
	"crypto/subtle"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// policy has the rights of pages. Nothing comes from elsewhere or stands inline, and no
// text becomes markup: names and paths that clients chose stay text even if a page has a mistake.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// csrfHeader carries the second secret of a session, which only our own pages can read.
const csrfHeader = "X-Praefect-Csrf"

// guard bounds every request, and turns away requests of other web sites.
func (c *Console) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
		if c.cfg.Secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		api := strings.HasPrefix(r.URL.Path, "/api/")
		if api {
			h.Set("Cache-Control", "no-store")
		}
		// An error here says that the deadline cannot be set: then the deadlines of the server hold.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		switch {
		case !knownHost(r.Host, c.cfg.Hosts):
			refuse(w, http.StatusMisdirectedRequest, "this console does not answer under the name of the request: add it to [console] hosts, or use an address")
		case api && crossSite(r):
			refuse(w, http.StatusForbidden, "the request comes from another web site")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// knownHost tells whether a browser may come under a name. A name of another owner can be
// made to lead here (DNS rebinding), an address cannot.
func knownHost(host string, names []string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host == "localhost" || slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, host) })
}

// crossSite tells whether a page of another site made the request, as far as the browser says so.
func crossSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return true
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || !strings.EqualFold(u.Host, r.Host)
}

// handler answers a request of a session.
type handler func(http.ResponseWriter, *http.Request, *session)

// reading lets requests with a session through.
func (c *Console) reading(next handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s := c.current(r)
		if s == nil {
			refuse(w, http.StatusUnauthorized, "sign in first")
			return
		}
		next(w, r, s)
	}
}

// changing also demands a header that a page of another site cannot send.
func (c *Console) changing(next handler) http.HandlerFunc {
	return c.reading(func(w http.ResponseWriter, r *http.Request, s *session) {
		switch {
		case !isJSON(r):
			refuse(w, http.StatusUnsupportedMediaType, "the request is not of type application/json")
		case subtle.ConstantTimeCompare([]byte(r.Header.Get(csrfHeader)), []byte(s.csrf)) != 1:
			refuse(w, http.StatusForbidden, "the request lacks the secret of its session: load the page again")
		default:
			next(w, r, s)
		}
	})
}

func isJSON(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}
