package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// debugBanner stands in debug/ so that nobody publishes it by accident.
const debugBanner = `NOT COVERED BY THE PRIVACY GUARANTEE

What is in this folder (training losses, gradient norms, clip fractions, batch
sizes) was computed from private records without noise. Keep it where the
records themselves may be kept; delete it before the model is published.
`

// A debugLog collects what is computed from private data, for the person who
// trains. Only its owner can read it.
type debugLog struct{ file *os.File }

func newDebugLog(out, stamp string) (*debugLog, error) {
	dir := filepath.Join(out, "debug")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("debug: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("debug: %w", err)
	}
	banner := debugBanner
	if stamp != "" {
		banner = stamp + "\n\n" + banner
	}
	if err := os.WriteFile(filepath.Join(dir, "README"), []byte(banner), 0o600); err != nil {
		return nil, fmt.Errorf("debug: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "steps.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("debug: %w", err)
	}
	return &debugLog{f}, nil
}

// step writes the statistics of a step.
func (d *debugLog) step(n int64, s stepStats) error {
	return d.line(struct {
		Step    int64    `json:"step"`
		Records int      `json:"records"`
		Loss    *float64 `json:"loss"`
		stepNumbers
	}{n, s.Records, nullable(s.Loss), s.stepNumbers})
}

func (d *debugLog) line(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("debug: %w", err)
	}
	if _, err := d.file.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("debug: %w", err)
	}
	return nil
}

func (d *debugLog) close() error { return errors.Join(d.file.Sync(), d.file.Close()) }
