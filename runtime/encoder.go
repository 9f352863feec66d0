package runtime

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// An encoder is the part of an encoder–decoder model that reads sources, where
// it is a file of its own beside the decoder (optimum's encoder_model.onnx).
type encoder struct {
	session *ort.Session
	output  string
	ids     string
	mask    string
	dtypes  map[string]ort.DType
}

// openEncoder opens the encoder beside a decoder that reads an encoder's states.
func (m *Model) openEncoder() (*encoder, error) {
	path := filepath.Join(filepath.Dir(m.file.Path), "encoder_model.onnx")
	if _, err := os.Stat(path); err != nil {
		return nil, usage("the decoder %s reads an encoder's states, and there is no encoder_model.onnx beside it", filepath.Base(m.file.Path))
	}
	env, err := m.Env()
	if err != nil {
		return nil, err
	}
	o, err := m.sessionOptions(path)
	if err != nil {
		return nil, err
	}
	s, err := env.NewSessionFromFile(path, o)
	if err != nil {
		return nil, err
	}
	e := &encoder{session: s, dtypes: map[string]ort.DType{}}
	for _, in := range s.Inputs() {
		e.dtypes[in.Name] = in.DType
		switch in.Name {
		case "input_ids":
			e.ids = in.Name
		case "attention_mask":
			e.mask = in.Name
		default:
			err = usage("the encoder's input %q is not one that a text has", in.Name)
		}
	}
	for _, o := range s.Outputs() {
		if o.Name == "last_hidden_state" || len(s.Outputs()) == 1 {
			e.output = o.Name
		}
	}
	if e.output == "" || e.ids == "" {
		err = usage("the encoder %s has the inputs %s and outputs %s; it needs input_ids and last_hidden_state", path, infoNames(s.Inputs()), infoNames(s.Outputs()))
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return e, nil
}

// run reads sources of equal length and returns their states [batch, tokens,
// width].
func (e *encoder) run(ctx context.Context, sources [][]int32) (*ort.Tensor, error) {
	rows, wide := len(sources), len(sources[0])
	ids, mask := make([]int64, 0, rows*wide), make([]int64, rows*wide)
	for _, s := range sources {
		if len(s) != wide {
			return nil, fmt.Errorf("sources of %d and %d tokens in one run", wide, len(s))
		}
		for _, id := range s {
			ids = append(ids, int64(id))
		}
	}
	for i := range mask {
		mask[i] = 1
	}
	f := feeder{dtypes: e.dtypes, feeds: map[string]*ort.Tensor{}}
	shape := []int64{int64(rows), int64(wide)}
	f.ints(e.ids, shape, ids)
	f.ints(e.mask, shape, mask)
	if f.err != nil {
		return nil, f.err
	}
	out, err := e.session.Run(ctx, f.feeds, ort.Outputs(e.output)...)
	if err != nil {
		return nil, err
	}
	return out[e.output], nil
}

func (e *encoder) close() error {
	if e == nil {
		return nil
	}
	return e.session.Close()
}
