// Package console owns the web console: pages in a browser that show the cluster as one instance
// sees it, and carry out the changes that praefectctl carries out. It promises that nothing is read without
// the client token and nothing changed without the admin token, that a page names the facts that
// are not known and since when, and that strangers, slow clients and other web sites cost a bounded amount. The
// daemon serves it at an address of its own; it reaches the cluster by the client of package admin
// alone, so that every rule about changes is that of the service.
package console
