package main

import (
	"fmt"
	"strconv"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// benchTable prints a report for a person, a block for each cell.
func (a *app) benchTable(r *runtime.BenchReport) {
	for i := range r.Cells {
		c := &r.Cells[i]
		a.printf("%s, loss %s, length %d, microbatch %d%s\n", c.Model, c.Loss, c.Length, c.Microbatch, workOf(c))
		if c.Skipped != "" {
			a.printf("  skipped: %s\n", c.Skipped)
			continue
		}
		a.printf("  %-28s %9s %9s %7s %9s %9s %8s %8s %9s %7s %7s\n",
			"", "median s", "min s", "spread", "ms/token", "cpu s", "GFLOP/s", "ceiling", "peak MB", "time", "memory")
		for _, m := range c.Variants {
			a.printf("  %-28s %9.4g %9.4g %6.1f%% %9.3g %9s %8s %8s %9s %7s %7s\n", m.By+" "+m.Name, m.Median, m.Min, 100*m.Spread, 1e3*m.PerToken,
				blank(m.CPU, "%.4g", 1), blank(m.Operations, "%.1f", 1e-9), blank(m.OfCeiling, "%.1f%%", 100), megabytes(m.PeakBytes), blank(m.TimeRatio, "%.3f", 1), blank(m.MemoryRatio, "%.3f", 1))
		}
		a.benchAgainstPeers(c)
	}
	if len(r.Cells) > 0 {
		a.printf("time and memory are ratios to the step that is not private (of --decode: to the session's runs); ceiling: the products' time / this time\n")
	}
}

// benchAgainstPeers prints our private step over every step of another program.
func (a *app) benchAgainstPeers(c *runtime.BenchCell) {
	var ours *runtime.BenchMeasure
	for i := range c.Variants {
		if c.Variants[i].Name == "dp" {
			ours = &c.Variants[i]
		}
	}
	for _, m := range c.Variants {
		if ours == nil || m.By == ours.By {
			continue
		}
		memory := ""
		if ours.PeakBytes > 0 && m.PeakBytes > 0 {
			memory = fmt.Sprintf(", memory %.3f", float64(ours.PeakBytes)/float64(m.PeakBytes))
		}
		a.printf("  dp / %s: time %.3f%s\n", m.By+" "+m.Name, runtime.Ratio(*ours, m), memory)
	}
}

// workOf says how much a training step is.
func workOf(c *runtime.BenchCell) string {
	if c.ProductOperations == 0 {
		return ""
	}
	return fmt.Sprintf(": %d parameters, %.4g GFLOP of products a step", c.Parameters, c.ProductOperations/1e9)
}

// blank prints a number that was measured, times a factor, and - for 0.
func blank(v float64, format string, factor float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf(format, v*factor)
}

func megabytes(bytes int64) string {
	if bytes == 0 {
		return "-"
	}
	return strconv.FormatInt(bytes>>20, 10)
}
