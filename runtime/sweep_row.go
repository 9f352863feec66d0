package runtime

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ghostwriter-dp/ghostwriter/dpadam"
	"github.com/ghostwriter-dp/ghostwriter/runtime/durable"
)

// What became of a cell.
const (
	CellDone       = "done"
	CellFailed     = "failed"
	CellTooDear    = "not affordable" // the budget does not pay for it
	CellDependent  = "waiting"        // the cell whose model it begins with did not end
	CellUnfinished = "unfinished"     // the sweep was stopped before, or while, it ran
)

// A SweepRow is a line of a sweep's results. It holds what the run released, what its ledger
// proves and what was asked for, and no times.
type SweepRow struct {
	Cell     string         `json:"cell"`
	Settings map[string]any `json:"settings"`
	Status   string         `json:"status"`
	ExitCode int            `json:"exit_code,omitempty"` // of a failed cell; -1 where a signal ended it

	Steps           int64    `json:"steps"` // of the written model
	Planned         int64    `json:"planned_steps"`
	NoiseMultiplier float64  `json:"noise_multiplier"`
	Epsilon         *float64 `json:"epsilon"` // rigorous bound of the run alone; null where nothing is guaranteed
	Delta           *float64 `json:"delta"`
	// NominalEpsilon is what a seeded run would cost with secret random numbers: it
	// guarantees nothing.
	NominalEpsilon *float64 `json:"nominal_epsilon,omitempty"`
	NotPrivate     string   `json:"not_private,omitempty"` // the run's stamp
	DataDeclared   string   `json:"data_declared,omitempty"`

	Metrics map[string]float64 `json:"metrics"`
	Out     string             `json:"out"` // below the sweep's directory
}

// dataPublic stands in the rows of cells that are charged to no budget.
const dataPublic = "PUBLIC: nothing was charged to a budget"

// finalMetrics are the names of the numbers in release/metrics.jsonl that a run is judged by.
var finalMetrics = []string{"valid_accuracy", "noised_valid_accuracy", "valid_loss", "noised_valid_loss"}

// preferredMetrics are what cells are compared by where nothing is said: the first that they have.
var preferredMetrics = append([]string{"bleu", "accuracy", "dialog_f1", "perplexity"}, finalMetrics...)

// SmallerIsBetter reports a metric that is to be made small.
func SmallerIsBetter(metric string) bool {
	return strings.Contains(metric, "loss") || strings.Contains(metric, "perplexity") || strings.Contains(metric, "entropy")
}

// begunRow is the row of a cell that has not ended.
func (c *SweepCell) begunRow(status string) SweepRow {
	row := SweepRow{Cell: c.Name, Settings: c.Settings, Status: status, Metrics: map[string]float64{}, Out: "cells/" + c.Name}
	if c.Public {
		row.DataDeclared = dataPublic
	}
	return row
}

// endedRow reads the row of a cell whose run has ended from its directory.
func (c *SweepCell) endedRow(out string) (SweepRow, error) {
	row := c.begunRow(CellDone)
	record, err := dpadam.ReadLedger(outputDir{path: out}.ledger())
	if err != nil {
		return row, err
	}
	st, err := dpadam.NewStatement(record)
	if err != nil {
		return row, err
	}
	row.Planned, row.NoiseMultiplier, row.NotPrivate = st.StepsPlanned, st.NoiseMultiplier, st.NotPrivate
	row.Epsilon, row.Delta, row.NominalEpsilon = st.Epsilon, st.Delta, st.NominalEpsilon
	if st.StepsTaken != nil {
		row.Steps = *st.StepsTaken
	}
	row.Metrics, err = lastMetrics(out)
	return row, err
}

// lastMetrics are the last values of finalMetrics that a run released.
func lastMetrics(out string) (map[string]float64, error) {
	values := map[string]float64{}
	path := filepath.Join(out, "release", "metrics.jsonl")
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := map[string]any{}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, usage("%s: line %d: %w", path, n, err)
		}
		for _, name := range finalMetrics {
			if v, ok := line[name].(float64); ok {
				values[name] = v
			}
		}
	}
	return values, lines.Err()
}

// A marker says what became of a cell, and for which options.
type sweepMarker struct {
	Options string   `json:"options_sha256"`
	Row     SweepRow `json:"row"`
}

func (o *SweepOptions) cellDir(c *SweepCell) string { return filepath.Join(o.Out, "cells", c.Name) }

func (o *SweepOptions) markerPath(c *SweepCell) string { return o.cellDir(c) + ".json" }

// readMarker returns what became of a cell earlier; nil if nothing did. A cell that is done
// with other options belongs to another sweep.
func (o *SweepOptions) readMarker(c *SweepCell) (*SweepRow, error) {
	data, err := os.ReadFile(o.markerPath(c))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var m sweepMarker
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		return nil, usage("%s: %w", o.markerPath(c), err)
	}
	hash, err := c.hash()
	if err != nil {
		return nil, err
	}
	if m.Row.Status == CellDone && m.Options != hash {
		return nil, usage("%s: cell %s was trained with other options than the file gives now; choose another --out, or another name for it", o.Out, c.Name)
	}
	m.Row.Settings = c.Settings // JSON has one kind of number
	return &m.Row, nil
}

func (o *SweepOptions) writeMarker(c *SweepCell, row SweepRow) error {
	hash, err := c.hash()
	if err != nil {
		return err
	}
	return durable.WriteJSON(o.markerPath(c), 0o644, sweepMarker{hash, row})
}

// hash is that of the options that a cell's result depends on: not of where it is computed
// and written.
func (c *SweepCell) hash() (string, error) {
	o := c.Options
	o.Out, o.Library, o.Threads, o.Device = "", "", 0, ""
	data, err := yaml.Marshal(&o)
	if err != nil {
		return "", err
	}
	data = fmt.Appendf(data, "public-data: %t\nzero: %v\n", c.Public, slices.Sorted(maps.Keys(o.given)))
	if c.Evaluate != nil {
		evaluation, err := yaml.Marshal(c.Evaluate)
		if err != nil {
			return "", err
		}
		data = append(data, evaluation...)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}
