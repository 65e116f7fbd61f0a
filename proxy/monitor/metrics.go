package monitor

import (
	"github.com/prometheus/client_golang/prometheus"

	"praefect/fsm/condition"
)

var (
	conditionDesc = prometheus.NewDesc("praefect_condition",
		"1 while a condition of that name holds anywhere in the cluster, as this instance knows it; docs/operations/conditions.md.",
		[]string{"condition", "level"}, nil)
	alarmsDesc = prometheus.NewDesc("praefect_alarms",
		"Conditions above the level notice, as this instance knows them; praefectctl status lists them.", nil, nil)
)

// Collector exports the conditions of the last look.
func (m *Monitor) Collector() prometheus.Collector { return collector{m} }

type collector struct{ m *Monitor }

// Describe implements prometheus.Collector.
func (c collector) Describe(to chan<- *prometheus.Desc) { to <- conditionDesc; to <- alarmsDesc }

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	holds, above := make(map[condition.Name]float64), 0.0
	for _, one := range c.m.Last() {
		holds[one.Name] = 1
		if one.Level != condition.Notice {
			above++
		}
	}
	for _, k := range condition.Kinds() {
		to <- prometheus.MustNewConstMetric(conditionDesc, prometheus.GaugeValue, holds[k.Name], string(k.Name), string(k.Level))
	}
	to <- prometheus.MustNewConstMetric(alarmsDesc, prometheus.GaugeValue, above)
}
