package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// short is how the grid writes a verdict.
var short = map[string]string{pass: "pass", noted: "pass*", refused: "refused", wrong: "WRONG", failed: "-"}

// printTable prints the grid, what stands behind everything that did not pass,
// and the totals.
func printTable(out io.Writer, rows []row) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	printGrid(w, rows)
	if err := w.Flush(); err != nil {
		return err
	}
	for _, v := range []string{wrong, refused, noted, failed} {
		fmt.Fprintln(out)
		for _, r := range rows {
			if r.Verdict == v {
				fmt.Fprintf(out, "%s-%s: %s: %s\n", r.Arch, r.Exporter, v, r.Why)
			}
		}
	}
	n := totals(rows)
	_, err := fmt.Fprintf(out, "\n%d pass, %d of them with a note, %d refused, %d wrong, %d not exported\n", n[pass]+n[noted], n[noted], n[refused], n[wrong], n[failed])
	return err
}

func printGrid(w io.Writer, rows []row) {
	cells := map[[2]string]string{}
	var archs, exporters []string
	for _, r := range rows {
		cells[[2]string{r.Arch, r.Exporter}] = short[r.Verdict]
		if !slices.Contains(archs, r.Arch) {
			archs = append(archs, r.Arch)
		}
		if !slices.Contains(exporters, r.Exporter) {
			exporters = append(exporters, r.Exporter)
		}
	}
	slices.Sort(archs)
	slices.Sort(exporters)
	fmt.Fprint(w, "architecture")
	for _, e := range exporters {
		fmt.Fprint(w, "\t", e)
	}
	fmt.Fprintln(w)
	for _, a := range archs {
		fmt.Fprint(w, a)
		for _, e := range exporters {
			fmt.Fprint(w, "\t", cells[[2]string{a, e}])
		}
		fmt.Fprintln(w)
	}
}

// totals counts the verdicts.
func totals(rows []row) map[string]int {
	n := map[string]int{pass: 0, noted: 0, refused: 0, wrong: 0, failed: 0}
	for _, r := range rows {
		n[r.Verdict]++
	}
	return n
}
