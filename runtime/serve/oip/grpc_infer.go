package oip

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
	pb "github.com/ghostwriter-dp/ghostwriter/runtime/serve/oip/inferencepb"
)

// ModelInfer runs a model. Outputs come raw where the inputs came raw or an output
// has 16-bit floats, for which there are no typed contents; else typed.
func (s *service) ModelInfer(ctx context.Context, in *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
	q, err := fromProto(in)
	if err != nil {
		return nil, err
	}
	r, err := infer(ctx, s.server, q)
	if err != nil {
		return nil, err
	}
	return r.proto(len(in.GetRawInputContents()) > 0)
}

// refusedParameters are those that ask for what is not served.
var refusedParameters = map[string]string{
	"shared_memory_region": "shared memory is not served; send the tensor",
	"classification":       "the classification extension is not served; take the scores",
	"sequence_id":          "models here keep no state between requests",
}

func checkParameters(where string, p map[string]*pb.InferParameter) error {
	for name, why := range refusedParameters {
		v, ok := p[name]
		if ok && (v.GetBoolParam() || v.GetInt64Param() != 0 || v.GetStringParam() != "" || v.GetUint64Param() != 0) {
			return serve.BadRequest("parameters", "%s: %s", where, why)
		}
	}
	return nil
}

// fromProto reads a request.
func fromProto(in *pb.ModelInferRequest) (*request, error) {
	q := &request{model: in.GetModelName(), version: in.GetModelVersion(), id: in.GetId()}
	raw := in.GetRawInputContents()
	if len(raw) > 0 && len(raw) != len(in.GetInputs()) {
		return nil, serve.BadRequest("raw_input_contents", "raw_input_contents has %d elements for %d inputs", len(raw), len(in.GetInputs()))
	}
	if err := checkParameters("the request", in.GetParameters()); err != nil {
		return nil, err
	}
	for i, t := range in.GetInputs() {
		name := strconv.Quote(t.GetName())
		if err := checkParameters("input "+name, t.GetParameters()); err != nil {
			return nil, err
		}
		tensor, err := tensorOf(t, raw, i)
		if err != nil {
			return nil, serve.BadRequest("inputs", "input %s: %v", name, err)
		}
		q.inputs = append(q.inputs, input{t.GetName(), tensor})
	}
	for _, o := range in.GetOutputs() {
		if err := checkParameters("output "+strconv.Quote(o.GetName()), o.GetParameters()); err != nil {
			return nil, err
		}
		q.outputs = append(q.outputs, wanted{name: o.GetName()})
	}
	return q, nil
}

// tensorOf reads input i, raw where raw has elements.
func tensorOf(t *pb.ModelInferRequest_InferInputTensor, raw [][]byte, i int) (*ort.Tensor, error) {
	d, ok := dtypeOf(t.GetDatatype())
	switch {
	case t.GetDatatype() == "BYTES":
		return nil, fmt.Errorf("BYTES tensors are not served; send token ids")
	case !ok:
		return nil, fmt.Errorf("datatype %.40q is unknown; there are %s", t.GetDatatype(), datatypeNames())
	}
	n, err := count(t.GetShape())
	if err != nil {
		return nil, err
	}
	if len(raw) > 0 {
		if t.Contents != nil {
			return nil, fmt.Errorf("it has contents beside raw_input_contents")
		}
		return fromBinary(d, t.GetShape(), raw[i])
	}
	return fromContents(d, t.GetShape(), n, t.GetContents())
}

// fromContents reads typed contents.
func fromContents(d ort.DType, shape []int64, n int, c *pb.InferTensorContents) (*ort.Tensor, error) {
	switch d {
	case ort.Bool:
		return typed(shape, n, c.GetBoolContents(), func(v bool) (bool, bool) { return v, true })
	case ort.Int8:
		return typed(shape, n, c.GetIntContents(), func(v int32) (int8, bool) { return int8(v), v == int32(int8(v)) })
	case ort.Int16:
		return typed(shape, n, c.GetIntContents(), func(v int32) (int16, bool) { return int16(v), v == int32(int16(v)) })
	case ort.Int32:
		return typed(shape, n, c.GetIntContents(), func(v int32) (int32, bool) { return v, true })
	case ort.Int64:
		return typed(shape, n, c.GetInt64Contents(), func(v int64) (int64, bool) { return v, true })
	case ort.Uint8:
		return typed(shape, n, c.GetUintContents(), func(v uint32) (uint8, bool) { return uint8(v), v <= math.MaxUint8 })
	case ort.Uint16:
		return typed(shape, n, c.GetUintContents(), func(v uint32) (uint16, bool) { return uint16(v), v <= math.MaxUint16 })
	case ort.Uint32:
		return typed(shape, n, c.GetUintContents(), func(v uint32) (uint32, bool) { return v, true })
	case ort.Uint64:
		return typed(shape, n, c.GetUint64Contents(), func(v uint64) (uint64, bool) { return v, true })
	case ort.Float32:
		return typed(shape, n, c.GetFp32Contents(), func(v float32) (float32, bool) { return v, true })
	case ort.Float64:
		return typed(shape, n, c.GetFp64Contents(), func(v float64) (float64, bool) { return v, true })
	}
	return nil, fmt.Errorf("%s has no typed contents; send raw_input_contents", nameOf(d))
}

func typed[S any, D ort.Element](shape []int64, n int, values []S, narrow func(S) (D, bool)) (*ort.Tensor, error) {
	if len(values) != n {
		return nil, fmt.Errorf("shape %v needs %d elements, its contents of the datatype's field have %d", shape, n, len(values))
	}
	out := make([]D, n)
	for i, v := range values {
		var ok bool
		if out[i], ok = narrow(v); !ok {
			return nil, fmt.Errorf("element %d does not fit the datatype", i)
		}
	}
	return ort.NewTensor(shape, out)
}

// proto writes a response.
func (r *response) proto(raw bool) (*pb.ModelInferResponse, error) {
	out := &pb.ModelInferResponse{ModelName: r.model, ModelVersion: r.version, Id: r.id}
	for _, o := range r.outputs {
		raw = raw || o.tensor.DType() == ort.Float16 || o.tensor.DType() == ort.BFloat16
	}
	for _, o := range r.outputs {
		t := &pb.ModelInferResponse_InferOutputTensor{Name: o.name, Datatype: nameOf(o.tensor.DType()), Shape: o.tensor.Shape()}
		if raw {
			out.RawOutputContents = append(out.RawOutputContents, toBinary(o.tensor))
		} else {
			var err error
			if t.Contents, err = contents(o.tensor); err != nil {
				return nil, fmt.Errorf("output %q: %w", o.name, err)
			}
		}
		out.Outputs = append(out.Outputs, t)
	}
	return out, nil
}

// contents writes typed contents.
func contents(t *ort.Tensor) (c *pb.InferTensorContents, err error) {
	c = &pb.InferTensorContents{}
	switch t.DType() {
	case ort.Bool:
		c.BoolContents, err = ort.Data[bool](t)
	case ort.Int8:
		c.IntContents, err = widened[int8, int32](t)
	case ort.Int16:
		c.IntContents, err = widened[int16, int32](t)
	case ort.Int32:
		c.IntContents, err = ort.Data[int32](t)
	case ort.Int64:
		c.Int64Contents, err = ort.Data[int64](t)
	case ort.Uint8:
		c.UintContents, err = widened[uint8, uint32](t)
	case ort.Uint16:
		c.UintContents, err = widened[uint16, uint32](t)
	case ort.Uint32:
		c.UintContents, err = ort.Data[uint32](t)
	case ort.Uint64:
		c.Uint64Contents, err = ort.Data[uint64](t)
	case ort.Float32:
		c.Fp32Contents, err = ort.Data[float32](t)
	case ort.Float64:
		c.Fp64Contents, err = ort.Data[float64](t)
	default:
		err = fmt.Errorf("%v has no typed contents", t.DType())
	}
	return c, err
}

func widened[S int8 | int16 | uint8 | uint16, D int32 | uint32](t *ort.Tensor) ([]D, error) {
	narrow, err := ort.Data[S](t)
	out := make([]D, len(narrow))
	for i, v := range narrow {
		out[i] = D(v)
	}
	return out, err
}
