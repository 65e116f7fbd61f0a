// Package sim plays schedules of a whole cluster in one thread: instances,
// storages, the ordered log, Postgres, clients and operators, under faults, all
// drawn from a seed. It promises that a seed always gives the same schedule, and
// that a schedule in which a promise of the design (P1 to P7) is broken ends
// there and then. Tests and the commands simulate and mutants run it.
//
// # What is the shipped code, and what is not
//
// Every decision is made by the packages that ship: fsm/state (Apply, Check),
// consensus/lease, consensus/verdict, consensus/elector, proxy/ledger/machine,
// proxy/transaction/ballot, proxy/router, replicator/plan. What is simulated is what they are told and what
// carries out their answers: the rims (driver.go, write.go, vote.go, transaction.go,
// read.go, gate.go, repair.go, firstcopy.go, backfill.go, worker.go, session.go, leader.go, elect.go,
// join.go), which follow the shipped drivers line by line as far as order matters, and the world
// beyond them.
//
// # Time
//
// There is one true time, in events. A host's clock counts it at a rate that is
// wrong by up to 1 %. A paused process does nothing until it goes on; its clock
// runs, and what was sent to it waits. Between any two instructions of a process
// that have an effect outside, others get a chance: a step of a machine is one
// instant, but what it asks for is carried out a moment later, or much later, by
// a process that was paused in between.
//
// # The log
//
// raft.go is a small Raft of its own: leaders are deposed unawares, entries of
// theirs survive or not, followers lag, proposals time out with an unknown
// outcome and are repeated. That it keeps its own promise, one history, is
// checked as the entries are applied. A leader can hand over (transfer.go), and
// members come and go by entries of the log (members.go, join.go). A recovery
// begins another history with what one instance has of the former one (recover.go).
//
// # Seeds
//
// What was added later draws from numbers of its own, and only in schedules whose
// seed says so: transfer.go, replace.go, recover.go, storms.go, settings.go. So a
// seed that is named for a planted defect keeps its schedule.
//
// # What is checked
//
// check.go knows what really happened on every disk, and asks after every effect,
// every acknowledgement, every read and every committed entry. When the faults
// are over, everything must become well again by itself, apart from what only
// people can decide; those are the acts of operator.go (mend), and are counted.
package sim
