// Package router decides where a request goes. It owns no state: every decision is a function of
// the published view, of the present connections to the storages, and of the request. It promises
// never to name a storage that may miss an acknowledged write (P4), and never to name a primary
// that is not the repository's (P1). The proxy calls it once or, when a storage fails before it
// answered, a few times per request.
package router
