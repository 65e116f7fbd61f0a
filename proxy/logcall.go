package proxy

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"praefect/proxy/measure"
)

// rpc describes a call, by the name of its method.
type rpc struct {
	fullMethod string
	// counted is fullMethod, or unknownMethod where the name is of the client's choice.
	counted string
	// kind says how the method streams, scope whether it names a repository.
	kind, scope string
}

// rpcOf looks at the name of a method. registered tells that a service of this instance has it.
func (s *Server) rpcOf(fullMethod string, registered, clientStreams, serverStreams bool) rpc {
	m, known := s.methods.Lookup(fullMethod)
	r := rpc{fullMethod: fullMethod, counted: fullMethod, scope: unknown}
	if known {
		// A method that no service of ours has is a stream in both directions to the library.
		r.scope, clientStreams, serverStreams = m.Scope.String(), m.ClientStreams, m.ServerStreams
	} else if !registered {
		r.counted = unknownMethod
	}
	r.kind = measure.KindOf(clientStreams, serverStreams)
	return r
}

// logCall writes at the level of the call's code, health checks that succeed at debug. The names of
// the facts are upstream's, because log pipelines parse them.
func (s *Server) logCall(ctx context.Context, c *call, rpc rpc, from origin, start time.Time, err error) {
	level := levelOf(status.Code(err))
	if err == nil && rpc.fullMethod == exemptMethod {
		level = slog.LevelDebug
	}
	if !s.log.Enabled(ctx, level) {
		return
	}
	service, name := splitMethod(cut(rpc.fullMethod))
	attrs := make([]slog.Attr, 0, 26)
	attrs = append(attrs,
		slog.String("grpc.service", service),
		slog.String("grpc.method", name),
		slog.String("grpc.code", status.Code(err).String()),
		slog.String("grpc.start_time", start.UTC().Format("2006-01-02T15:04:05.000")),
		slog.Float64("grpc.time_ms", float64(time.Since(start).Microseconds())/1000),
		slog.String("grpc.meta.method_type", rpc.kind),
		slog.String("grpc.meta.method_operation", c.kind),
		slog.String("grpc.meta.method_scope", rpc.scope),
		slog.String("grpc.request.fullMethod", cut(rpc.fullMethod)),
		slog.Int64("grpc.request.payload_bytes", c.requestBytes),
		slog.Int64("grpc.response.payload_bytes", c.responseBytes),
		slog.String("correlation_id", c.correlationID))
	if rpc.fullMethod != exemptMethod {
		attrs = append(attrs, slog.String("grpc.meta.auth_version", tokenVersion))
	}
	if p, ok := peer.FromContext(ctx); ok {
		attrs = append(attrs, slog.String("peer.address", p.Addr.String()))
	}
	if deadline, ok := ctx.Deadline(); ok {
		attrs = append(attrs, slog.String("grpc.request.deadline", deadline.UTC().Format("2006-01-02T15:04:05.000")))
	}
	for _, fact := range [...]struct{ key, value string }{
		{"grpc.meta.client_name", from.clientName},
		{"grpc.meta.call_site", from.callSite},
		{"grpc.meta.deadline_type", from.deadlineType},
		{"remote_ip", saidIn(ctx, remoteIPHeaders)},
		{"user_id", saidIn(ctx, userIDHeaders)},
		{"username", saidIn(ctx, usernameHeaders)},
		{"grpc.request.repoStorage", cut(c.virtualStorage)},
		{"grpc.request.repoPath", c.relativePath},
		{"grpc.request.glRepository", cut(c.glRepository)},
		{"grpc.request.glProjectPath", cut(c.glProjectPath)},
		{"virtual_storage", cut(c.virtualStorage)},
		{"relative_path", c.relativePath},
		{"storage", c.storage},
	} {
		if fact.value != "" {
			attrs = append(attrs, slog.String(fact.key, fact.value))
		}
	}
	if err != nil {
		attrs = append(attrs, slog.String("err", cutText(err.Error())))
	}
	s.log.LogAttrs(ctx, level, "finished call", attrs...)
}

// logsCalls tells that calls of this code are in the log.
func (s *Server) logsCalls(ctx context.Context, code codes.Code) bool {
	return s.log.Enabled(ctx, levelOf(code))
}
