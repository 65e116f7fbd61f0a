//go:build !race

package socket

const plain = false
