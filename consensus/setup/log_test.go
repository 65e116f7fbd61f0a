package setup

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestLibraryLog(t *testing.T) {
	var out bytes.Buffer
	l := &libraryLog{to: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))}
	for _, r := range []struct{ line, want string }{
		{"2006-01-02T15:04:05.000Z [INFO]  raft: entering leader state: leader=\"Node at x [Leader]\"\n",
			`level=INFO msg="raft: entering leader state" facts="leader=\"Node at x [Leader]\""`},
		{"2006-01-02T15:04:05.000Z [ERROR] snapshot: failed to open: error=\"no: such\"\n",
			`level=ERROR msg="snapshot: failed to open" facts="error=\"no: such\""`},
		{"2006-01-02T15:04:05.000Z [WARN]  raft: heartbeat timeout reached, starting election\n",
			`level=WARN msg="raft: heartbeat timeout reached, starting election"`},
		{"2006-01-02T15:04:05.000Z [DEBUG] raft: votes: needed=1\n", `level=DEBUG msg="raft: votes" facts="needed=1"`},
		{"something else\n", `level=INFO msg="something else"`},
	} {
		out.Reset()
		if n, err := l.Write([]byte(r.line)); n != len(r.line) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if got := strings.TrimSpace(out.String()); got != r.want {
			t.Errorf("got %s, want %s", got, r.want)
		}
	}
}
