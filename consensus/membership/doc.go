// Package membership makes this instance a member of a cluster and keeps it one. On the leader it also
// changes the members.
//
// Begin brings an instance without state to a cluster, Watch sees to its place among the members, and
// Meet asks the listed peers for their cluster. The methods of Group are the questions and changes of
// operators. Offline recovers a cluster that has lost its quorum, while the instance does not run.
//
// # How instances come together
//
// An instance without state asks all peers of its settings. If one of them has
// state it makes ready to join. Otherwise, once all have answered that they have
// none, each writes down the ids of all, and when each has written down the same
// ones each begins the log with the same first entry (nextStep). So an instance
// that was emptied can neither begin a second cluster beside the one that is
// there, nor vote under its former id: it has another one, and connections say
// which one they are meant for (package peer).
//
// To join, an instance asks the leader until it is a member under its present address. It follows
// without a vote, and the leader makes it a voter when it has kept up for a while and the number of
// voters becomes odd by it. No instance is removed without an operator: an instance under the name
// or at the address of another member waits until that one is removed. A removed instance learns it
// from the leader, and ends.
package membership
