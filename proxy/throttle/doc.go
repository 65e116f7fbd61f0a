// Package throttle bounds how many writes of a virtual storage this instance has at work at a time.
// Storages that are asked for more writes than they can do finish none of them in time. The package
// promises that a write beyond the bound waits in the order of arrival or is refused at once, that
// no write waits for places that writes of another virtual storage hold, and that a write whose
// deadline is sure to pass before its end, or that would wait for a large part of the time until then,
// is refused early and keeps no other write waiting. The
// proxy asks for a place before it enters a write into the ledger. A write that waits for a primary gives
// its place up, and waits for one again when there is a primary.
//
// The bound finds its value by itself, up to Config.Most: it shrinks when writes take a large part
// of the time that their clients gave them, and grows while writes that needed little time filled
// it. Pace says when a line is too long; the writes that contend for the locks of one repository
// wait in lines that it judges, too. A write counts for a bounded time, so that slow clients hold no places for long.
package throttle
