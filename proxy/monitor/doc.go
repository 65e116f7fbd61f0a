// Package monitor owns the knowledge of one instance about the conditions of the cluster: it
// collects the facts, has fsm/condition judge them, and exchanges the result with the leader, so
// that every instance shows the conditions of all. It promises one line in the log when a condition
// that this instance has judged begins and one when it ends, that nothing waits for the leader for
// longer than exchangeTimeout, and that a scrape of its metrics asks nothing. The daemon runs a
// Monitor; the operators' service and /readyz ask it.
package monitor
