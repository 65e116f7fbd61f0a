// Package console tests the web console in a real browser, at the instances of a cluster of real
// processes, and takes the screenshots of docs/operations/console.md. It promises nothing to other
// packages.
package console
