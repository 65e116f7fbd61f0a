// Package condition decides from facts how healthy a cluster is. Judge is the one place that turns
// facts into conditions: status, check, the text of /readyz, alarms in the log, metrics and exit
// codes all show the result of Judge. It promises that Judge is a pure function, that every
// condition it returns is one of Kinds, and that docs/operations/conditions.md lists every kind
// with its level and exit code. The packages of the daemon collect the facts; this package asks
// nothing and keeps nothing.
package condition
