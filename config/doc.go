// Package config owns the settings of the daemon: the TOML keys, their defaults and the checks of
// their values.
//
// It promises to return a configuration only if all of it is valid, and to report all faults of an
// invalid one at once, each with its key and, if the key is in the text, its line and column. Keys
// that upstream knows and this project has no use for are accepted and listed. Another unknown key
// in a table of upstream's is a warning, because a newer release may have it, unless it resembles a
// known key; any other unknown key is a fault.
//
// The commands call it once at their start and hand the values on; no other
// package reads the file, and nothing changes a Config after it was returned.
package config
