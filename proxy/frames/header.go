package frames

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2/hpack"
)

// decoder decodes the header blocks of one direction of a connection. Each block must be decoded, because it may change the state.
type decoder struct {
	hpack  *hpack.Decoder
	fields []hpack.HeaderField
	usual  int // how many fields the last call had
	size   int
	limit  int
}

func newDecoder(limit int) *decoder {
	d := &decoder{limit: limit}
	d.hpack = hpack.NewDecoder(headerTable, d.add)
	d.hpack.SetMaxStringLength(limit)
	return d
}

func (d *decoder) add(f hpack.HeaderField) {
	if d.size += int(f.Size()); d.size > d.limit {
		d.hpack.SetEmitEnabled(false)
		return
	}
	if d.fields == nil {
		d.fields = make([]hpack.HeaderField, 0, d.usual)
	}
	d.fields = append(d.fields, f)
}

// decode returns the fields of a block. The slice is valid until the next block, unless keep is called. tooLarge tells that the list
// is longer than the limit; then the fields are a part of it.
func (d *decoder) decode(block []byte) (fields []hpack.HeaderField, tooLarge bool, err error) {
	d.fields, d.size = d.fields[:0], 0
	d.hpack.SetEmitEnabled(true)
	if _, err := d.hpack.Write(block); err != nil {
		return nil, false, err
	}
	if err := d.hpack.Close(); err != nil {
		return nil, false, err
	}
	return d.fields, d.size > d.limit, nil
}

// keep leaves the fields that decode returned last to the caller.
func (d *decoder) keep() { d.usual, d.fields = len(d.fields), nil }

// staticNames are the indexes of names in HPACK's static table that calls and answers use most.
var staticNames = map[string]byte{
	":authority": 1, ":method": 2, ":path": 4, ":scheme": 6, ":status": 8,
	"authorization": 23, "content-type": 31, "user-agent": 58,
}

// appendField encodes a field without the dynamic table, so that the encoded bytes mean the same at any time.
func appendField(dst []byte, f hpack.HeaderField) []byte {
	switch {
	case f.Name == ":method" && f.Value == "POST":
		return append(dst, 0x80|3)
	case f.Name == ":scheme" && f.Value == "http":
		return append(dst, 0x80|6)
	case f.Name == ":scheme" && f.Value == "https":
		return append(dst, 0x80|7)
	case f.Name == ":status" && f.Value == "200":
		return append(dst, 0x80|8)
	}
	kind := byte(0) // a literal that is not added to the table
	if f.Sensitive {
		kind = 0x10 // and no hop may add it
	}
	if index := staticNames[f.Name]; index != 0 {
		dst = appendInt(dst, 4, kind, uint64(index))
	} else {
		dst = appendString(append(dst, kind), f.Name)
	}
	return appendString(dst, f.Value)
}

func appendFields(dst []byte, fields []hpack.HeaderField) []byte {
	for _, f := range fields {
		dst = appendField(dst, f)
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	return append(appendInt(dst, 7, 0, uint64(len(s))), s...)
}

// appendInt encodes an integer with a prefix of some bits, as RFC 7541, 5.1 says; high are the bits before the prefix.
func appendInt(dst []byte, bits uint, high byte, n uint64) []byte {
	limit := uint64(1)<<bits - 1
	if n < limit {
		return append(dst, high|byte(n))
	}
	dst = append(dst, high|byte(limit))
	for n -= limit; n >= 0x80; n >>= 7 {
		dst = append(dst, 0x80|byte(n))
	}
	return append(dst, byte(n))
}

// listSize is the size of a header list as SETTINGS_MAX_HEADER_LIST_SIZE counts it.
func listSize(fields []hpack.HeaderField) (size int64) {
	for _, f := range fields {
		size += int64(f.Size())
	}
	return size
}

// Value is the first value of a name in fields, "" without one.
func Value(fields []hpack.HeaderField, name string) string {
	for _, f := range fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// timeoutUnits are the units of grpc-timeout.
var timeoutUnits = map[byte]time.Duration{
	'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
}

// Timeout reads grpc-timeout in the fields of a call. ok is false if there is none, or none that is valid.
func Timeout(fields []hpack.HeaderField) (timeout time.Duration, ok bool) {
	v := Value(fields, "grpc-timeout")
	if len(v) < 2 || len(v) > 9 {
		return 0, false
	}
	unit, known := timeoutUnits[v[len(v)-1]]
	n, err := strconv.ParseUint(v[:len(v)-1], 10, 32)
	if err != nil || !known {
		return 0, false
	}
	if n > uint64(1<<63-1)/uint64(unit) {
		return 1<<63 - 1, true
	}
	return time.Duration(n) * unit, true
}

// timeoutValue encodes a time as grpc-timeout, rounded up: at most 8 digits.
func timeoutValue(d time.Duration) string {
	for _, u := range "numSM" {
		unit := timeoutUnits[byte(u)]
		n := d / unit
		if d%unit > 0 {
			n++
		}
		if n < 1e8 {
			return strconv.FormatInt(int64(n), 10) + string(u)
		}
	}
	return strconv.FormatInt(int64(min(d/time.Hour+1, 1e8-1)), 10) + "H"
}

// withTimeout returns the fields with the rest of their grpc-timeout.
func withTimeout(fields []hpack.HeaderField, left time.Duration) []hpack.HeaderField {
	changed := make([]hpack.HeaderField, len(fields))
	copy(changed, fields)
	for i := range changed {
		if changed[i].Name == "grpc-timeout" {
			changed[i].Value = timeoutValue(max(left, 0))
		}
	}
	return changed
}

// reserved tells that gRPC itself sets a field, so that it is none of the metadata.
func reserved(name string) bool {
	switch name {
	case "content-type", "user-agent", "grpc-message-type", "grpc-encoding", "grpc-message", "grpc-status", "grpc-timeout", "te":
		return true
	}
	return strings.HasPrefix(name, ":")
}
