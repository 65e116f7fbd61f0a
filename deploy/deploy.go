// Package deploy holds the files that operators start from: HAProxy's
// configuration and the unit of systemd.
// It promises that the demo and the tests run the very files, so that they work.
// Only tests and the demo import it; the product does not need it.
package deploy

import _ "embed" // the files below

// HAProxy is haproxy.cfg: three instances behind one address. Environment
// variables fill in the addresses: GITALY_BIND, and for each instance PRAEFECT_n
// (host:port for clients) and PRAEFECT_n_METRICS (the port of its checks).
//
//go:embed haproxy.cfg
var HAProxy string

// HAProxyResolvers is haproxy-resolvers.cfg: the same for servers whose addresses change.
//
//go:embed haproxy-resolvers.cfg
var HAProxyResolvers string

// Nice is the priority that the unit gives an instance.
const Nice = -10

// Unit is praefect.service, the unit of systemd.
//
//go:embed praefect.service
var Unit string
