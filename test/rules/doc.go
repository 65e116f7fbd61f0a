// Package rules holds the tests of the project's own conventions: which
// package may import which, sizes, comments, and what no package may do. It
// reads the source of the module and runs nothing of it.
package rules
