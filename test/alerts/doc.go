// Package alerts makes every alert of deploy/prometheus/rules.yml fire: a real Prometheus scrapes a
// cluster of real processes and evaluates the rules, with their waiting times shortened, while the
// test causes one fault after the other. It promises that no alert is left out, that a healthy
// cluster raises none, and that each expression of a rule or a dashboard names series that a
// cluster exports. It runs with the long suites and needs Debian's prometheus.
package alerts
