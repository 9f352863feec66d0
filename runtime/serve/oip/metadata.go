package oip

import (
	"context"
	"net/http"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

// platform is what the protocol calls an ONNX model.
const platform = "onnx_onnxv1"

// modelMetadata describes a model.
type modelMetadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions"`
	Platform string           `json:"platform"`
	Inputs   []tensorMetadata `json:"inputs"`
	Outputs  []tensorMetadata `json:"outputs"`
	// Privacy is what the model's directory says about the privacy of its training
	// records. It is ours; clients of the protocol ignore it.
	Privacy serve.Statement `json:"privacy"`
}

type tensorMetadata struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

// describe reads a model's metadata; the error has status 404 or 503.
func describe(ctx context.Context, s *serve.Server, model, version string) (*modelMetadata, error) {
	l, err := acquire(ctx, s, model, version)
	if err != nil {
		return nil, err
	}
	defer l.Release()
	versions := []string{l.Version()}
	if version == "" {
		if versions, err = s.Repository().Versions(model); err != nil {
			return nil, err
		}
	}
	return &modelMetadata{Name: l.Name(), Versions: versions, Platform: platform, Inputs: tensors(l.Inputs()), Outputs: tensors(l.Outputs()), Privacy: l.Statement()}, nil
}

func tensors(infos []ort.Info) []tensorMetadata {
	list := []tensorMetadata{}
	for _, i := range infos {
		t := tensorMetadata{Name: i.Name, Datatype: nameOf(i.DType), Shape: i.Dims}
		if t.Shape == nil {
			t.Shape = []int64{}
		}
		list = append(list, t)
	}
	return list
}

func (h rest) model(w http.ResponseWriter, r *http.Request) error {
	m, err := describe(r.Context(), h.server, r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		return err
	}
	return serve.WriteJSON(w, http.StatusOK, m)
}
