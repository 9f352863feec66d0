package oip

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

// headerLength is the header that says how much of a body is JSON; binary tensors
// follow, in the order of those that say binary_data_size.
const headerLength = "Inference-Header-Content-Length"

// inferJSON is the JSON of an inference request.
type inferJSON struct {
	ID         string     `json:"id"`
	Parameters parameters `json:"parameters"`
	Inputs     []struct {
		Name       string          `json:"name"`
		Shape      []int64         `json:"shape"`
		Datatype   string          `json:"datatype"`
		Parameters parameters      `json:"parameters"`
		Data       json.RawMessage `json:"data"`
	} `json:"inputs"`
	Outputs []struct {
		Name       string     `json:"name"`
		Parameters parameters `json:"parameters"`
	} `json:"outputs"`
}

// parameters of a request, an input or an output. Those that ask for something
// that is not served are refused; unknown ones are ignored, as the protocol has
// it.
type parameters struct {
	BinarySize    *int64          `json:"binary_data_size"`
	Binary        *bool           `json:"binary_data"`
	BinaryOutputs bool            `json:"binary_data_output"`
	Classes       json.RawMessage `json:"classification"`
	SharedMemory  json.RawMessage `json:"shared_memory_region"`
	SequenceID    json.RawMessage `json:"sequence_id"`
}

func (p *parameters) check(where string) error {
	switch {
	case wants(p.SharedMemory):
		return serve.BadRequest("parameters", "%s: shared memory is not served; send the tensor", where)
	case wants(p.Classes):
		return serve.BadRequest("parameters", "%s: the classification extension is not served; take the scores", where)
	case wants(p.SequenceID):
		return serve.BadRequest("parameters", "%s: models here keep no state between requests, so sequence_id means nothing", where)
	}
	return nil
}

// wants reports that a parameter is there and is not a way of saying no.
func wants(raw json.RawMessage) bool {
	s := string(raw)
	return s != "" && s != "null" && s != "0" && s != `""` && s != "false"
}

// parseInfer reads a request's body; headerBytes is the value of headerLength.
func parseInfer(body []byte, headerBytes string) (*request, error) {
	head, rest := body, []byte(nil)
	if headerBytes != "" {
		n, err := strconv.ParseUint(headerBytes, 10, 31)
		if err != nil || n > uint64(len(body)) {
			return nil, serve.BadRequest("", "%s is %.40q; the body has %d bytes", headerLength, headerBytes, len(body))
		}
		if n == 0 {
			return nil, serve.BadRequest("", "%s is 0: a body of one raw tensor is not served; describe it in JSON", headerLength)
		}
		head, rest = body[:n], body[n:]
	}
	if len(head) == 0 {
		return nil, serve.BadRequest("", "the request has no body; send a JSON object with \"inputs\"")
	}
	var q inferJSON
	if err := serve.ParseJSON(head, &q); err != nil {
		return nil, err
	}
	if err := q.Parameters.check("the request"); err != nil {
		return nil, err
	}
	out := &request{id: q.ID}
	for i := range q.Inputs {
		tensor, left, err := q.input(i, rest)
		if err != nil {
			return nil, err
		}
		rest = left
		out.inputs = append(out.inputs, input{q.Inputs[i].Name, tensor})
	}
	if len(rest) > 0 {
		return nil, serve.BadRequest("inputs", "%d bytes follow the last binary tensor", len(rest))
	}
	for _, o := range q.Outputs {
		if err := o.Parameters.check("output " + strconv.Quote(o.Name)); err != nil {
			return nil, err
		}
		binary := q.Parameters.BinaryOutputs
		if o.Parameters.Binary != nil {
			binary = *o.Parameters.Binary
		}
		out.outputs = append(out.outputs, wanted{o.Name, binary})
	}
	if len(q.Outputs) == 0 && q.Parameters.BinaryOutputs {
		out.allBinary = true
	}
	return out, nil
}

// input reads tensor i, from its "data" or from the bytes behind the JSON.
func (q *inferJSON) input(i int, rest []byte) (*ort.Tensor, []byte, error) {
	in := &q.Inputs[i]
	bad := func(format string, args ...any) error {
		return serve.BadRequest("inputs", "input "+strconv.Quote(in.Name)+": "+format, args...)
	}
	if err := in.Parameters.check("input " + strconv.Quote(in.Name)); err != nil {
		return nil, nil, err
	}
	d, ok := dtypeOf(in.Datatype)
	switch {
	case in.Name == "":
		return nil, nil, serve.BadRequest("inputs", "input %d has no name", i)
	case in.Datatype == "BYTES":
		return nil, nil, bad("BYTES tensors are not served; send token ids, or use a route that takes text")
	case !ok:
		return nil, nil, bad("datatype %.40q is unknown; there are %s", in.Datatype, datatypeNames())
	case in.Shape == nil:
		return nil, nil, bad("it has no shape")
	}
	if size := in.Parameters.BinarySize; size != nil {
		if *size < 0 || *size > int64(len(rest)) {
			return nil, nil, bad("binary_data_size is %d, and %d bytes are left behind the JSON", *size, len(rest))
		}
		if len(in.Data) > 0 {
			return nil, nil, bad("it has both \"data\" and binary_data_size")
		}
		t, err := fromBinary(d, in.Shape, rest[:*size])
		if err != nil {
			return nil, nil, bad("%v", err)
		}
		return t, rest[*size:], nil
	}
	t, err := decodeData(d, in.Shape, in.Data)
	if err != nil {
		return nil, nil, bad("%v", err)
	}
	return t, rest, nil
}

func (h rest) infer(w http.ResponseWriter, r *http.Request) error {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return serve.Errorf(http.StatusUnsupportedMediaType, serve.CodeMediaType, "Content-Encoding %.40q is not served; send the body as it is", e)
	}
	body, err := serve.ReadBody(r)
	if err != nil {
		return err
	}
	q, err := parseInfer(body, r.Header.Get(headerLength))
	if err != nil {
		return err
	}
	q.model, q.version = r.PathValue("model"), r.PathValue("version")
	out, err := infer(r.Context(), h.server, q)
	if err != nil {
		return err
	}
	return out.write(w)
}

// write answers in JSON, binary outputs behind it.
func (r *response) write(w http.ResponseWriter) error {
	head, tail, err := r.encode()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	length := len(head)
	for _, t := range tail {
		length += len(t)
	}
	if len(tail) > 0 {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set(headerLength, strconv.Itoa(len(head)))
	}
	w.Header().Set("Content-Length", strconv.Itoa(length))
	if _, err := w.Write(head); err != nil {
		return err
	}
	for _, t := range tail {
		if _, err := w.Write(t); err != nil {
			return err
		}
	}
	return nil
}

// encode makes the JSON, and the bytes of the outputs that are binary.
func (r *response) encode() (head []byte, tail [][]byte, err error) {
	field := func(name string, v any) {
		data, _ := json.Marshal(v) // strings and lists of numbers can be written
		head = append(append(append(append(head, '"'), name...), '"', ':'), data...)
	}
	head = append(head, '{')
	if r.id != "" {
		field("id", r.id)
		head = append(head, ',')
	}
	field("model_name", r.model)
	head = append(head, ',')
	field("model_version", r.version)
	head = append(head, `,"outputs":[`...)
	for i, o := range r.outputs {
		if i > 0 {
			head = append(head, ',')
		}
		head = append(head, '{')
		field("name", o.name)
		head = append(head, ',')
		field("datatype", nameOf(o.tensor.DType()))
		head = append(head, ',')
		field("shape", append([]int64{}, o.tensor.Shape()...))
		if o.binary {
			data := toBinary(o.tensor)
			head = append(head, `,"parameters":{"binary_data_size":`...)
			head = append(strconv.AppendInt(head, int64(len(data)), 10), "}}"...)
			tail = append(tail, data)
			continue
		}
		head = append(head, `,"data":`...)
		if head, err = appendData(head, o.tensor); err != nil {
			return nil, nil, serve.Errorf(http.StatusInternalServerError, "not_finite", "output %q: %v", o.name, err)
		}
		head = append(head, '}')
	}
	return append(head, "]}"...), tail, nil
}
