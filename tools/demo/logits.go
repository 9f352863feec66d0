package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"
	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// checkLogits shows that model.onnx holds the trained weights, with nothing but
// the stock runtime. The loss of some held-out records is computed twice: from
// the logits of model.onnx in a plain session, and by the training step, compiled
// from the *pretrained* model and fed the weights of the last checkpoint.
func (d *demo) checkLogits(ctx context.Context) (err error) {
	d.title("model.onnx in a plain onnxruntime session against the trained weights of the checkpoint")
	step := filepath.Join(d.dir, "step.onnx")
	if _, err := d.ghostwriter(ctx, "compile", d.pretrained(), "--loss", "causal-lm", "-o", step); err != nil {
		return err
	}
	batch, err := d.batch(ctx)
	if err != nil {
		return err
	}
	env, err := ort.Load("")
	if err != nil {
		return err
	}
	served, err := d.servedLoss(ctx, env, filepath.Join(d.tuned(), "model.onnx"), batch)
	if err != nil {
		return err
	}
	before, err := d.servedLoss(ctx, env, filepath.Join(d.pretrained(), "model.onnx"), batch)
	if err != nil {
		return err
	}
	trained, err := d.trainedLoss(ctx, env, step, batch)
	if err != nil {
		return err
	}
	worst := 0.0
	for i := range served {
		worst = math.Max(worst, math.Abs(served[i]-trained[i])/math.Abs(trained[i]))
	}
	d.printf("loss of the first record: %.6f pretrained, %.6f by model.onnx, %.6f by the trained weights\n", before[0], served[0], trained[0])
	d.printf("largest relative difference over %d records: %.1e\n", len(served), worst)
	if !(worst < 1e-4) || served[0] == before[0] {
		return errors.New("the written model is not the trained one")
	}
	return nil
}

// batch pads a few held-out records to one length.
func (d *demo) batch(ctx context.Context) (*tokenize.Batch, error) {
	t, err := tokenize.Load(d.pretrained())
	if err != nil {
		return nil, err
	}
	format, err := tokenize.NewTableToText(t, 100)
	if err != nil {
		return nil, err
	}
	records, err := d.records(ctx)
	if err != nil {
		return nil, err
	}
	examples, err := tokenize.FormatAll(ctx, format, records[:8], 0)
	if err != nil {
		return nil, err
	}
	var list []*tokenize.Example
	longest := 0
	for i := range examples {
		list, longest = append(list, &examples[i]), max(longest, examples[i].Len())
	}
	return tokenize.Pad(list, longest, len(list), t.PadID())
}

// feeds are the model's inputs.
func feeds(b *tokenize.Batch, s *ort.Session) (map[string]*ort.Tensor, error) {
	columns := map[string][]int64{"input_ids": b.InputIDs, "attention_mask": b.AttentionMask, "labels": b.Labels}
	out := map[string]*ort.Tensor{}
	for _, in := range s.Inputs() {
		if v, ok := columns[in.Name]; ok {
			t, err := ort.NewTensor([]int64{int64(b.Rows), int64(b.Length)}, v)
			if err != nil {
				return nil, err
			}
			out[in.Name] = t
		}
	}
	return out, nil
}

// servedLoss computes the loss from the logits of a model file:
//
//	loss_i = mean over scored t of −log softmax(logits_t)[labels_{t+1}]
func (d *demo) servedLoss(ctx context.Context, env *ort.Env, path string, b *tokenize.Batch) (_ []float64, err error) {
	s, err := env.NewSessionFromFile(path, ort.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	in, err := feeds(b, s)
	if err != nil {
		return nil, err
	}
	out, err := s.Run(ctx, in, ort.Outputs("logits")...)
	if err != nil {
		return nil, err
	}
	logits, err := ort.Data[float32](out["logits"])
	if err != nil {
		return nil, err
	}
	vocabulary := len(logits) / (b.Rows * b.Length)
	loss := make([]float64, b.Rows)
	for i := range loss {
		scored := 0
		for t := i * b.Length; t < (i+1)*b.Length-1; t++ {
			if label := b.Labels[t+1]; label != tokenize.Unscored {
				loss[i] -= logProbability(logits[t*vocabulary:(t+1)*vocabulary], label)
				scored++
			}
		}
		loss[i] /= float64(scored)
	}
	return loss, nil
}

func logProbability(logits []float32, label int64) float64 {
	top := math.Inf(-1)
	for _, z := range logits {
		top = math.Max(top, float64(z))
	}
	sum := 0.0
	for _, z := range logits {
		sum += math.Exp(float64(z) - top)
	}
	return float64(logits[label]) - top - math.Log(sum)
}

// trainedLoss runs the compiled step with the last checkpoint's weights.
func (d *demo) trainedLoss(ctx context.Context, env *ort.Env, step string, b *tokenize.Batch) (_ []float64, err error) {
	s, err := env.NewSessionFromFile(step, ort.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	in, err := feeds(b, s)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(d.tuned(), fmt.Sprintf("checkpoint-%d", d.steps), "weights.safetensors"))
	if err != nil {
		return nil, err
	}
	weights, err := safetensors.Parse(data)
	if err != nil {
		return nil, err
	}
	for _, w := range weights {
		v := make([]float32, len(w.Data)/4)
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(w.Data[4*i:]))
		}
		if in[w.Name], err = ort.NewTensor(w.Shape, v); err != nil {
			return nil, err
		}
	}
	out, err := s.Run(ctx, in, ort.Outputs("loss")...)
	if err != nil {
		return nil, err
	}
	single, err := ort.Data[float32](out["loss"])
	loss := make([]float64, len(single))
	for i, x := range single {
		loss[i] = float64(x)
	}
	return loss, err
}
