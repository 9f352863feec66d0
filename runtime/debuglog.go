package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ghostwriter-dp/ghostwriter/runtime/tensorboard"
)

// debugBanner stands in debug/ so that nobody publishes it by accident.
const debugBanner = `NOT COVERED BY THE PRIVACY GUARANTEE

What is in this folder (training losses, gradient norms, clip fractions, batch
sizes) was computed from private records without noise. Keep it where the
records themselves may be kept; delete it before the model is published.
`

// A debugLog collects what is computed from private data, for the person who
// trains, as JSON lines and for TensorBoard. Only its owner can read it.
type debugLog struct {
	file   *os.File
	events *tensorboard.Writer
}

// newDebugLog opens debug/ of a run whose next step is first.
func newDebugLog(out, stamp string, first int64) (*debugLog, error) {
	dir, err := debugDir(out, stamp)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "steps.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("debug: %w", err)
	}
	d := &debugLog{file: f}
	board := filepath.Join(dir, "tensorboard")
	if err := os.MkdirAll(board, 0o700); err != nil {
		return nil, errors.Join(fmt.Errorf("debug: %w", err), d.close())
	}
	if d.events, err = tensorboard.Create(board, 0o600, first, bannerOf(stamp)); err != nil {
		return nil, errors.Join(fmt.Errorf("debug: %w", err), d.close())
	}
	return d, nil
}

// bannerOf is the banner of a run, with the stamp of one that is not private.
func bannerOf(stamp string) string {
	if stamp == "" {
		return debugBanner
	}
	return stamp + "\n\n" + debugBanner
}

// debugDir makes the folder debug/ of an output directory, for its owner alone and with the banner.
func debugDir(out, stamp string) (string, error) {
	dir := filepath.Join(out, "debug")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("debug: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return "", fmt.Errorf("debug: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "README"), []byte(bannerOf(stamp)), 0o600); err != nil {
		return "", fmt.Errorf("debug: %w", err)
	}
	return dir, nil
}

// step writes the statistics of a step.
func (d *debugLog) step(r StepReport, s stepStats) error {
	err := d.line(struct {
		Step    int64    `json:"step"`
		Records int      `json:"records"`
		Loss    *float64 `json:"loss"`
		stepNumbers
	}{r.Step, s.Records, nullable(s.Loss), s.stepNumbers})
	if err == nil {
		err = d.events.Scalars(r.Step, stepScalars(r, s)...)
	}
	if err != nil {
		return fmt.Errorf("debug: %w", err)
	}
	return nil
}

// stepScalars are the statistics of a step for TensorBoard.
func stepScalars(r StepReport, s stepStats) []tensorboard.Scalar {
	out := []tensorboard.Scalar{
		{Tag: "train/loss", Value: s.Loss}, {Tag: "train/learning_rate", Value: r.LearningRate}, {Tag: "train/records", Value: float64(s.Records)},
		{Tag: "train/not_finite", Value: float64(s.NotFinite)}, {Tag: "train/dropped", Value: float64(s.Dropped)}, {Tag: "privacy/epsilon", Value: r.Epsilon},
	}
	if len(s.norms) > 0 {
		out = append(out, tensorboard.Scalar{Tag: "norm/mean", Value: s.NormMean}, tensorboard.Scalar{Tag: "norm/max", Value: s.NormMax},
			tensorboard.Scalar{Tag: "clip/fraction", Value: s.Clipped})
		for i, q := range normQuantiles {
			out = append(out, tensorboard.Scalar{Tag: fmt.Sprintf("norm/p%.0f", 100*q), Value: s.NormQuantiles[i]})
		}
	}
	if s.adapted > 0 {
		out = append(out, tensorboard.Scalar{Tag: "clip/norm", Value: s.adapted})
	}
	return out
}

// valid writes a score of the validation data.
func (d *debugLog) valid(m metric) error {
	err := d.line(m)
	var values []tensorboard.Scalar
	for tag, v := range map[string]*float64{"valid/loss": m.ValidLoss, "valid/accuracy": m.ValidAccuracy} {
		if v != nil {
			values = append(values, tensorboard.Scalar{Tag: tag, Value: *v})
		}
	}
	if err == nil {
		err = d.events.Scalars(m.Step, values...)
	}
	if err != nil {
		return fmt.Errorf("debug: %w", err)
	}
	return nil
}

func (d *debugLog) line(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = d.file.Write(append(data, '\n'))
	return err
}

func (d *debugLog) close() error {
	errs := []error{d.file.Sync(), d.file.Close()}
	if d.events != nil {
		errs = append(errs, d.events.Close())
	}
	return errors.Join(errs...)
}
