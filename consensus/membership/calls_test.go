package membership

import (
	"testing"

	"praefect/fsm/wire/wiretest"
)

// Every field of the messages about members arrives.
func TestCalls_messagesArrive(t *testing.T) {
	wiretest.Travel(t, callIntroduce.Method, 0)
	wiretest.Travel(t, callJoin.Method, 0)
	wiretest.Travel(t, callStatus.Method, 0)
}
