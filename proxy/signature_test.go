package proxy

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/proxy/method"
)

// keyed is the answer of ServerSignature with a key.
func keyed(key string) []byte { return append([]byte{0x0a, byte(len(key))}, key...) }

// TestServerSignature_ofStoragesThatAgree or do not.
func TestServerSignature_ofStoragesThatAgree(t *testing.T) {
	for _, tc := range []struct {
		name    string
		keys    map[string]string
		fail    error
		code    codes.Code
		message string
	}{
		{"one key", map[string]string{"gitaly-1": "k", "gitaly-2": "k", "gitaly-3": "k"}, nil, codes.OK, ""},
		{"two keys", map[string]string{"gitaly-1": "k", "gitaly-2": "k", "gitaly-3": "l"}, nil, codes.Internal, `"gitaly-2" and "gitaly-3"`},
		{"no key", map[string]string{}, nil, codes.Internal, `"gitaly-1": it has no key`},
		{"older storages", nil, status.Error(codes.Unimplemented, "unknown method"), codes.Unimplemented, "unknown method"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := &echo{fail: func(string) error { return tc.fail }}
			e.answers = func(storage string) []byte {
				if key, ok := tc.keys[storage]; ok {
					return keyed(key)
				}
				return nil
			}
			w := newVotingFixture(t, e.backend)
			got, err := w.drive(method.Method{FullName: signatureMethod}, nil)
			if status.Code(err) != tc.code || !strings.Contains(status.Convert(err).Message(), tc.message) {
				t.Errorf("got %v, want %v %q", err, tc.code, tc.message)
			}
			if tc.code == codes.OK && (len(got) != 1 || string(got[0]) != string(keyed("k")) || len(e.take()) != 3) {
				t.Errorf("got %q", got)
			}
		})
	}
}
