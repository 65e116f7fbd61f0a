// Package tracing sends traces of calls to a collector of OpenTelemetry (OTLP over gRPC): a span of
// each call of a client, and below it one of each call to a storage, which gets the context of the
// trace in its metadata. It promises that a collector which is slow or away costs calls nothing but
// lost spans, and that an instance without a collector does no work at all: then there is no Tracer,
// and nothing is hung into servers or connections. The daemon makes a Tracer and runs it.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	apitrace "go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"
)

// Config says where traces go.
type Config struct {
	// Endpoint is the collector's host:port.
	Endpoint string
	// Insecure speaks to it without TLS.
	Insecure bool
	// Ratio is which share of the calls is traced whose client does not trace them; a client's own
	// decision counts.
	Ratio float64
	// Instance and Version name this process in its spans.
	Instance, Version string
}

const (
	// sendTimeout bounds one batch to the collector, flushTimeout the last ones at the end.
	sendTimeout  = 5 * time.Second
	flushTimeout = 5 * time.Second
)

// Tracer makes spans. The nil Tracer makes none.
type Tracer struct {
	provider *trace.TracerProvider
	options  []otelgrpc.Option
}

// Open makes a Tracer. It connects to the collector when the first spans are sent, and in the
// background; log is told of spans that could not be sent.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (*Tracer, error) {
	options := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(cfg.Endpoint), otlptracegrpc.WithTimeout(sendTimeout)}
	if cfg.Insecure {
		options = append(options, otlptracegrpc.WithInsecure())
	}
	exporter, err := otlptracegrpc.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("prepare traces: %w", err)
	}
	// The library has one such function for the whole process.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces are lost", "err", err) }))
	provider := trace.NewTracerProvider(
		trace.WithBatcher(exporter), // its queue has a limit, beyond which spans are dropped
		trace.WithSampler(trace.ParentBased(trace.TraceIDRatioBased(cfg.Ratio))),
		trace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "praefect"), attribute.String("service.version", cfg.Version),
			attribute.String("service.instance.id", cfg.Instance),
		)),
	)
	return &Tracer{provider: provider, options: []otelgrpc.Option{
		otelgrpc.WithTracerProvider(provider), otelgrpc.WithPropagators(propagation.TraceContext{}),
		otelgrpc.WithMeterProvider(noop.NewMeterProvider()), otelgrpc.WithFilter(worthASpan),
	}}, nil
}

// worthASpan leaves out the calls by which everyone asks whether the other one is well, twice a
// second.
func worthASpan(call *stats.RPCTagInfo) bool {
	return call.FullMethodName != "/grpc.health.v1.Health/Check" && call.FullMethodName != "/gitaly.ServerService/ServerInfo"
}

// ServerOptions trace the calls that a server answers.
func (t *Tracer) ServerOptions() []grpc.ServerOption {
	if t == nil {
		return nil
	}
	return []grpc.ServerOption{grpc.StatsHandler(otelgrpc.NewServerHandler(t.options...))}
}

// DialOptions trace the calls over a connection, and put the context of the trace into their
// metadata.
func (t *Tracer) DialOptions() []grpc.DialOption {
	if t == nil {
		return nil
	}
	return []grpc.DialOption{grpc.WithStatsHandler(otelgrpc.NewClientHandler(t.options...))}
}

// Annotate adds facts to the span of a call; keys and values alternate, and empty values are left
// out.
func (t *Tracer) Annotate(ctx context.Context, facts ...string) {
	if t == nil {
		return
	}
	span := apitrace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	for i := 0; i+1 < len(facts); i += 2 {
		if facts[i+1] != "" {
			span.SetAttributes(attribute.String(facts[i], facts[i+1]))
		}
	}
}

// Run sends what is left when ctx ends.
func (t *Tracer) Run(ctx context.Context) error {
	<-ctx.Done()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	if err := t.provider.Shutdown(last); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("send the last traces: %w", err)
	}
	return nil
}
