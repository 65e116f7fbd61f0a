package main

import (
	"context"

	"praefect/proxy/tracing"
)

// tracer makes the source of spans; nil if the settings name no collector.
func (d *daemon) tracer(ctx context.Context) (*tracing.Tracer, error) {
	t := d.cfg.Tracing
	if t.OTLPEndpoint == "" {
		return nil, nil
	}
	return tracing.Open(ctx, tracing.Config{
		Endpoint: t.OTLPEndpoint, Insecure: t.Insecure, Ratio: t.SampleRatio, Instance: d.cfg.Raft.Name, Version: d.version,
	}, d.log)
}
