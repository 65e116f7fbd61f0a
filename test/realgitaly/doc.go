// Package realgitaly owns the smoke suite of whole clusters on nodes of a real
// Gitaly, which operators run against their own: with GITALY_BIN, the program, and
// GITALY_GIT, the git that its nodes shall run, 2.42 or later.
// It promises that the suite itself is run without them, too, on a program that is
// started and configured as Gitaly is and serves as test-gitaly.
// Nothing calls it.
package realgitaly
