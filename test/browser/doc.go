// Package browser owns a real Chromium, without a window, for tests of pages. It promises that the
// browser ends with the test, that every wait is bounded and shows at its end the text of the
// page, and that an error which a page reports fails the test. It speaks the DevTools
// protocol over two pipes, which needs neither a driver nor a library. Tests of the console use it.
package browser
