package runtime

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/runtime/safetensors"
)

// A Batch is a set of tensors by name: a model's inputs and, beside them, what
// a loss reads ("labels", "mask_position", "label_words").
type Batch struct {
	Inputs map[string]*ort.Tensor
	Loss   map[string]*ort.Tensor
}

// lossTensors are the names that a batch file keeps beside its inputs.
var lossTensors = []string{"labels", "mask_position", "label_words"}

// maxBatchBytes bounds a batch file.
const maxBatchBytes = 1 << 30

// ReadBatch reads a batch file: JSON, or .safetensors with the same tensors.
func ReadBatch(path string) (*Batch, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, usage("batch %s: %w", path, err)
	}
	if info.Size() > maxBatchBytes {
		return nil, usage("batch %s: %d bytes, limit %d", path, info.Size(), maxBatchBytes)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, usage("batch %s: %w", path, err)
	}
	parse := ParseBatch
	if strings.HasSuffix(path, ".safetensors") {
		parse = parseBatchTensors
	}
	b, err := parse(data)
	if err != nil {
		return nil, usage("batch %s: %w", path, err)
	}
	return b, nil
}

// A tensorJSON is one tensor of a batch file.
type tensorJSON struct {
	DType string          `json:"dtype"`
	Shape []int64         `json:"shape"`
	Data  json.RawMessage `json:"data"`
}

// ParseBatch reads the JSON form: {"inputs":{name:{dtype,shape,data}},
// "labels":{…}}, data flat and row-major.
func ParseBatch(data []byte) (*Batch, error) {
	var file struct {
		Inputs       map[string]tensorJSON `json:"inputs"`
		Labels       *tensorJSON           `json:"labels"`
		MaskPosition *tensorJSON           `json:"mask_position"`
		LabelWords   *tensorJSON           `json:"label_words"`
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&file); err != nil {
		return nil, usage("not a batch: %v", err)
	}
	if len(file.Inputs) == 0 {
		return nil, usage("not a batch: it has no \"inputs\"")
	}
	b := &Batch{Inputs: map[string]*ort.Tensor{}, Loss: map[string]*ort.Tensor{}}
	for name, t := range file.Inputs {
		tensor, err := t.tensor()
		if err != nil {
			return nil, usage("input %q: %w", name, err)
		}
		b.Inputs[name] = tensor
	}
	for i, t := range []*tensorJSON{file.Labels, file.MaskPosition, file.LabelWords} {
		if t == nil {
			continue
		}
		tensor, err := t.tensor()
		if err != nil {
			return nil, usage("%s: %w", lossTensors[i], err)
		}
		b.Loss[lossTensors[i]] = tensor
	}
	return b, nil
}

func (t tensorJSON) tensor() (*ort.Tensor, error) {
	d, err := ort.ParseDType(t.DType)
	if err != nil {
		return nil, err
	}
	n := int64(1)
	for _, e := range t.Shape {
		if e < 0 || e > 0 && n > math.MaxInt32/e {
			return nil, fmt.Errorf("shape %v", t.Shape)
		}
		n *= e
	}
	switch d {
	case ort.Int64:
		return numbersJSON(t, n, func(s json.Number) (int64, error) { return s.Int64() })
	case ort.Int32:
		return numbersJSON(t, n, func(s json.Number) (int32, error) {
			v, err := strconv.ParseInt(s.String(), 10, 32)
			return int32(v), err
		})
	case ort.Float32:
		return numbersJSON(t, n, func(s json.Number) (float32, error) {
			v, err := strconv.ParseFloat(s.String(), 32)
			return float32(v), err
		})
	case ort.Float64:
		return numbersJSON(t, n, func(s json.Number) (float64, error) { return s.Float64() })
	case ort.Bool:
		return t.truths(n)
	}
	return nil, fmt.Errorf("dtype %s is not read from JSON; there are int64, int32, float32, float64 and bool", t.DType)
}

// truths reads truth values, written as such or as 0 and 1.
func (t tensorJSON) truths(n int64) (*ort.Tensor, error) {
	var v []bool
	if json.Unmarshal(t.Data, &v) != nil {
		return numbersJSON(t, n, func(s json.Number) (bool, error) {
			i, err := s.Int64()
			if err == nil && i != 0 && i != 1 {
				err = fmt.Errorf("%d is no truth value", i)
			}
			return i == 1, err
		})
	}
	if int64(len(v)) != n {
		return nil, fmt.Errorf("shape %v needs %d elements, data has %d", t.Shape, n, len(v))
	}
	return ort.NewTensor(t.Shape, v)
}

func numbersJSON[T ort.Element](t tensorJSON, n int64, convert func(json.Number) (T, error)) (*ort.Tensor, error) {
	var raw []json.Number
	dec := json.NewDecoder(bytes.NewReader(t.Data))
	dec.UseNumber()
	if err := dec.Decode(&raw); err != nil {
		return nil, fmt.Errorf("data: not a flat list of numbers")
	}
	if int64(len(raw)) != n {
		return nil, fmt.Errorf("shape %v needs %d elements, data has %d", t.Shape, n, len(raw))
	}
	out := make([]T, n)
	for i, s := range raw {
		v, err := convert(s)
		if err != nil {
			return nil, fmt.Errorf("element %d does not fit %s", i, t.DType)
		}
		out[i] = v
	}
	return ort.NewTensor(t.Shape, out)
}

// parseBatchTensors reads the .safetensors form: names "labels",
// "mask_position" and "label_words" are the loss's, all others inputs.
func parseBatchTensors(data []byte) (*Batch, error) {
	tensors, err := safetensors.Parse(data)
	if err != nil {
		return nil, usage("%w", err)
	}
	b := &Batch{Inputs: map[string]*ort.Tensor{}, Loss: map[string]*ort.Tensor{}}
	for _, t := range tensors {
		v, err := fromSafetensors(t)
		if err != nil {
			return nil, usage("tensor %q: %w", t.Name, err)
		}
		if isLossTensor(t.Name) {
			b.Loss[t.Name] = v
		} else {
			b.Inputs[t.Name] = v
		}
	}
	return b, nil
}

func isLossTensor(name string) bool {
	for _, l := range lossTensors {
		if l == name {
			return true
		}
	}
	return false
}

func fromSafetensors(t safetensors.Tensor) (*ort.Tensor, error) {
	d, ok := safetensorTypes[t.DType]
	if !ok {
		return nil, fmt.Errorf("dtype %s is not read", t.DType)
	}
	v, err := ort.NewZeros(d, t.Shape)
	if err != nil {
		return nil, err
	}
	copy(v.Bytes(), t.Data)
	return v, nil
}

var safetensorTypes = map[string]ort.DType{
	"I64": ort.Int64, "I32": ort.Int32, "F32": ort.Float32, "F64": ort.Float64, "BOOL": ort.Bool, "F16": ort.Float16, "BF16": ort.BFloat16,
}
