// Package sim runs schedules of a whole cluster in one thread: instances, storages, the ordered
// log, Postgres, clients and operators, under faults, all drawn from a seed. It promises that a
// seed always gives the same schedule, and that a schedule that breaks a promise of the design (P1
// to P7) ends there and then. Tests and the commands simulate and mutants run it.
//
// # Shipped code and simulated code
//
// The packages that ship make every decision: fsm/state (Apply, Check), consensus/lease,
// consensus/health, consensus/elector, proxy/ledger/machine, proxy/transaction/quorum,
// proxy/router, replicator/plan, replicator/steps. The simulation replaces their drivers (driver.go,
// write.go, vote.go, transaction.go, read.go, repairlock.go, repair.go, attempt.go, rounds.go,
// firstcopy.go, backfill.go, worker.go, session.go, leader.go, elect.go, calm.go, join.go), which follow the
// shipped drivers line by line as far as order matters, and everything beyond them: network,
// storages, clients, operators, Postgres. Within a step of a repair, replicator/steps has the order.
//
// # Time
//
// There is one true time, in events. A host's clock counts it at a rate that is wrong by up to 1 %.
// A paused process does nothing until it goes on; its clock runs, and messages to it wait. Between
// any two instructions of a process that have an effect outside, other processes get a chance: a
// step of a machine is one instant, but its effects are carried out a moment later, or much later
// if the process was paused in between.
//
// # The log
//
// raft.go is a small Raft: leaders are deposed unawares, their entries survive or not, followers
// lag, proposals time out with an unknown outcome and are repeated. It must keep one history; that
// is checked as the entries are applied. A leader can hand over (transfer.go), and members come and
// go by entries of the log (members.go, join.go). A recovery begins another history from the state
// of one instance (recover.go).
//
// # Seeds
//
// Later additions draw from numbers of their own, and only in schedules whose seed says so:
// transfer.go, replace.go, recover.go, storms.go, settings.go, lulls.go. So a seed that is named for a
// planted defect keeps its schedule.
//
// # Checks
//
// check.go knows the true content of every disk, and checks it after every effect, every
// acknowledgement, every read and every committed entry. When the faults are over, everything must
// become well again by itself, apart from decisions that only people can take; operator.go (mend)
// takes them, and they are counted.
package sim
