// Package rules holds the tests of the project's own conventions: the imports of each package,
// sizes, comments, prose, and actions that no package may take. It reads the source and the pages
// of the module and runs nothing of it.
package rules
