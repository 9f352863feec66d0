package oip

import (
	"net/http"
	"time"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

// configJSON is the part of Triton's model configuration that means something
// here. Shapes include the batch axis, which max_batch_size 0 says.
type configJSON struct {
	Name          string             `json:"name"`
	Platform      string             `json:"platform"`
	Backend       string             `json:"backend"`
	VersionPolicy map[string]any     `json:"version_policy"`
	MaxBatchSize  int                `json:"max_batch_size"`
	Input         []configTensorJSON `json:"input"`
	Output        []configTensorJSON `json:"output"`
}

type configTensorJSON struct {
	Name     string  `json:"name"`
	DataType string  `json:"data_type"`
	Dims     []int64 `json:"dims"`
}

func (h rest) config(w http.ResponseWriter, r *http.Request) error {
	l, err := acquire(r.Context(), h.server, r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		return err
	}
	defer l.Release()
	return serve.WriteJSON(w, http.StatusOK, configJSON{
		Name: l.Name(), Platform: platform, Backend: "onnxruntime", VersionPolicy: map[string]any{"all": struct{}{}},
		Input: configTensors(l.Inputs()), Output: configTensors(l.Outputs()),
	})
}

func configTensors(infos []ort.Info) []configTensorJSON {
	list := []configTensorJSON{}
	for _, t := range tensors(infos) {
		kind := "TYPE_" + t.Datatype
		if t.Datatype == "BYTES" {
			kind = "TYPE_STRING"
		}
		list = append(list, configTensorJSON{t.Name, kind, t.Shape})
	}
	return list
}

// statsJSON is Triton's statistics of a model.
type statsJSON struct {
	Name           string               `json:"name"`
	Version        string               `json:"version"`
	LastInference  int64                `json:"last_inference"` // ms since 1970
	InferenceCount uint64               `json:"inference_count"`
	ExecutionCount uint64               `json:"execution_count"`
	InferenceStats map[string]tallyJSON `json:"inference_stats"`
}

type tallyJSON struct {
	Count uint64 `json:"count"`
	NS    int64  `json:"ns"`
}

func tally(t serve.Tally) tallyJSON { return tallyJSON{t.Count, t.Total.Nanoseconds()} }

func statsOf(l *serve.Lease) statsJSON {
	s := l.Stats()
	return statsJSON{Name: l.Name(), Version: l.Version(), LastInference: milliseconds(s.Last), InferenceCount: s.Computed.Count, ExecutionCount: s.Runs,
		InferenceStats: map[string]tallyJSON{"success": tally(s.Succeeded), "fail": tally(s.Failed), "queue": tally(s.Queued), "compute_infer": tally(s.Computed)}}
}

func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// gatherStats lists the statistics of a model's ready versions, of one, or with no
// name of all models.
func gatherStats(s *serve.Server, model, version string) ([]statsJSON, error) {
	list := []statsJSON{}
	for _, v := range s.Repository().Index() {
		if v.State != serve.StateReady || model != "" && v.Name != model || version != "" && v.Version != version {
			continue
		}
		l, err := s.Repository().Acquire(v.Name, v.Version)
		if err != nil {
			continue // taken out in between
		}
		list = append(list, statsOf(l))
		l.Release()
	}
	if len(list) > 0 || model == "" {
		return list, nil
	}
	_, err := modelReady(s, model, version)
	return list, err
}

func (h rest) stats(w http.ResponseWriter, r *http.Request) error {
	list, err := gatherStats(h.server, r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		return err
	}
	return serve.WriteJSON(w, http.StatusOK, map[string]any{"model_stats": list})
}
