package stage

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Metrics are what a daemon says of itself, by their names with labels: `clairwatch_images{state="scanned"}`.
type Metrics map[string]float64

// Sum adds up all series of a name.
func (m Metrics) Sum(name string) float64 {
	var sum float64
	for series, value := range m {
		if bare, _, _ := strings.Cut(series, "{"); bare == name {
			sum += value
		}
	}
	return sum
}

// ReadMetrics reads all metrics of the daemon that listens on an address.
func ReadMetrics(ctx context.Context, addr string) (Metrics, error) {
	text, err := ask(ctx, addr, "/metrics")
	if err != nil {
		return nil, fmt.Errorf("reading the metrics: %w", err)
	}
	all := make(Metrics)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || line[0] == '#' {
			continue
		}
		if all[line[:at]], err = strconv.ParseFloat(line[at+1:], 64); err != nil {
			return nil, fmt.Errorf("reading the metric %s: %w", line, err)
		}
	}
	return all, nil
}
