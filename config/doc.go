// Package config owns the settings of the daemon: the TOML keys, their
// defaults and what may be asked of them.
//
// It promises that a configuration is returned only when all of it is valid,
// and that one which is not is answered with every fault at once, each with
// its key and, where the text has one, its line and column. Keys that upstream
// knows and this project has no use for are accepted and listed. Another unknown
// key in a table of upstream's is a warning, because a newer release may have it,
// unless it resembles a known key; any other unknown key is a fault.
//
// The commands call it once at their start and hand the values on; no other
// package reads the file, and nothing changes a Config after it was returned.
package config
