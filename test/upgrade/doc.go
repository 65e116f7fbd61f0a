// Package upgrade runs the previous release beside the present program: a rolling
// upgrade and the way back, under load. The file "previous" names the release by its
// commit, because a clone may lack tags. The file "untyped" names a commit whose cluster
// only an upgrade at a stop crosses.
package upgrade
