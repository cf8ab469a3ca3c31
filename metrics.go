package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/clairwatch/clairwatch/registry"
)

// newMetrics is where metrics are registered, with those of the process.
func newMetrics() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	of := built()
	promauto.With(reg).NewGaugeVec(prometheus.GaugeOpts{
		Name: "clairwatch_build_info",
		Help: "1, with the version and the revision that the program was built from.",
	}, []string{"version", "revision"}).WithLabelValues(of.version, of.revision).Set(1)
	return reg
}

// countRegistryRequests registers the metric of requests to registries, and returns what counts one. Which registry it
// was is no label: a pod's author chooses that.
func countRegistryRequests(reg prometheus.Registerer) func(registry.Outcome) {
	requests := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "clairwatch_registry_requests_total",
		Help: "Requests to registries and their token servers, by how they ended. Those that clairwatch gave up itself are abandoned.",
	}, []string{"outcome"})
	for _, o := range registry.Outcomes {
		requests.WithLabelValues(string(o))
	}
	return func(o registry.Outcome) { requests.WithLabelValues(string(o)).Inc() }
}
