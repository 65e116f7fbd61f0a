// Package install carries out docs/operations/install.md: it builds the packages, installs the deb
// in three fresh Debian roots, each with a network namespace and an address of its own, and follows
// the page to a push through the balancer. It promises that the commands of the page, copied as
// they stand, lead to the same. It needs root, mmdebstrap and a Debian mirror, and runs with the
// long suites.
package install
