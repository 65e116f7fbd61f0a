package admin

import (
	"context"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// FiguresRequest asks an instance for its own metrics.
type FiguresRequest struct {
	// Names are the metrics wanted; a name that ends in "*" stands for all that begin so.
	Names []string `json:"names"`
}

// FiguresResponse has the values of one moment. Counters only rise while the instance runs, so that two
// responses give a rate.
type FiguresResponse struct {
	Schema   int    `json:"schema"`
	Instance string `json:"instance"`
	// Time is when they were taken, by the instance's clock.
	Time    time.Time `json:"time"`
	Figures []Figure  `json:"figures"`
	// More tells that there were more than MaxFigures.
	More bool `json:"more,omitempty"`
}

// MaxFigures bounds the values in one response.
const MaxFigures = 5000

// Figure is one value of a metric.
type Figure struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
	// Value is that of a counter or gauge; of a histogram or summary the number of observations.
	Value float64 `json:"value"`
	// Sum and Buckets are set for a histogram; a bucket counts the values that are not above its
	// bound.
	Sum     float64  `json:"sum,omitempty"`
	Buckets []Bucket `json:"buckets,omitempty"`
}

// Bucket is one bucket of a histogram.
type Bucket struct {
	UpTo  float64 `json:"up_to"`
	Count uint64  `json:"count"`
}

// figures tells the measurements of the instance about itself.
func (s *Service) figures(_ context.Context, r FiguresRequest) (FiguresResponse, error) {
	if s.Metrics == nil {
		return FiguresResponse{}, errNoControl()
	}
	if len(r.Names) == 0 {
		return FiguresResponse{}, Errorf(Invalid, "no metric is named")
	}
	families, err := s.Metrics()
	if err != nil && len(families) == 0 {
		return FiguresResponse{}, Errorf(NotAvailable, "the metrics cannot be collected: %v", err)
	}
	response := FiguresResponse{Schema: Schema, Instance: s.cfg.Instance, Time: time.Now().UTC(), Figures: []Figure{}}
	for _, family := range families {
		if !isNamed(family.GetName(), r.Names) {
			continue
		}
		for _, m := range family.GetMetric() {
			if len(response.Figures) == MaxFigures {
				response.More = true
				return response, nil
			}
			response.Figures = append(response.Figures, figure(family.GetName(), m))
		}
	}
	return response, nil
}

func isNamed(name string, wanted []string) bool {
	return slices.ContainsFunc(wanted, func(w string) bool {
		prefix, all := strings.CutSuffix(w, "*")
		return name == w || all && strings.HasPrefix(name, prefix)
	})
}

func figure(name string, m *dto.Metric) Figure {
	f := Figure{Name: name}
	if pairs := m.GetLabel(); len(pairs) > 0 {
		f.Labels = make(map[string]string, len(pairs))
		for _, pair := range pairs {
			f.Labels[pair.GetName()] = pair.GetValue()
		}
	}
	switch {
	case m.GetHistogram() != nil:
		h := m.GetHistogram()
		f.Value, f.Sum = float64(h.GetSampleCount()), h.GetSampleSum()
		for _, b := range h.GetBucket() {
			if bound := b.GetUpperBound(); bound <= maxBound { // JSON has no infinity: that one is Value
				f.Buckets = append(f.Buckets, Bucket{bound, b.GetCumulativeCount()})
			}
		}
	case m.GetSummary() != nil:
		f.Value, f.Sum = float64(m.GetSummary().GetSampleCount()), m.GetSummary().GetSampleSum()
	case m.GetCounter() != nil:
		f.Value = m.GetCounter().GetValue()
	case m.GetGauge() != nil:
		f.Value = m.GetGauge().GetValue()
	default:
		f.Value = m.GetUntyped().GetValue()
	}
	f.Value, f.Sum = finite(f.Value), finite(f.Sum)
	return f
}

const maxBound = 1e300

// finite makes a number that JSON has.
func finite(v float64) float64 {
	if v != v || v > maxBound || v < -maxBound {
		return 0
	}
	return v
}

// Figures asks for metrics of the instance.
func (c *Client) Figures(ctx context.Context, names ...string) (FiguresResponse, error) {
	return ask(ctx, c, rpcFigures, FiguresRequest{Names: names})
}
