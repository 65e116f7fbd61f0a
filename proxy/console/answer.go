package console

import (
	"encoding/json"
	"errors"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/proxy/admin"
)

// fault is why a request did not succeed.
type fault struct {
	// Kind is that of an admin.Error, empty if the console itself refused.
	Kind    admin.Kind `json:"kind,omitempty"`
	Message string     `json:"message"`
}

// answer sends a document. A document that cannot be sent is lost with its client.
func answer(w http.ResponseWriter, document any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(document)
}

// refuse sends why the console does not answer.
func refuse(w http.ResponseWriter, code int, message string) { send(w, code, fault{Message: message}) }

// fail sends why the cluster did not answer.
func fail(w http.ResponseWriter, err error) {
	code := http.StatusBadGateway
	switch status.Code(err) {
	case codes.InvalidArgument:
		code = http.StatusBadRequest
	case codes.NotFound:
		code = http.StatusNotFound
	case codes.PermissionDenied, codes.Unauthenticated:
		code = http.StatusForbidden
	case codes.FailedPrecondition:
		code = http.StatusConflict
	case codes.Unavailable:
		code = http.StatusServiceUnavailable
	case codes.DeadlineExceeded:
		code = http.StatusGatewayTimeout
	}
	send(w, code, faultOf(err))
}

// faultOf is the form of an error on a page, without gRPC's frame around it.
func faultOf(err error) fault {
	return fault{Kind: admin.KindOf(err), Message: status.Convert(err).Message()}
}

func send(w http.ResponseWriter, code int, f fault) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(f)
}

// readBody reads the document of a request, and refuses one that is none.
func readBody(w http.ResponseWriter, r *http.Request, document any) bool {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(document)
	if _, long := errors.AsType[*http.MaxBytesError](err); long {
		refuse(w, http.StatusRequestEntityTooLarge, "the request is too long")
		return false
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "the request is not the expected JSON document")
		return false
	}
	return true
}
