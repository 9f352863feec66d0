package convert

import (
	"fmt"
	"strconv"
	"strings"
)

// labelled reports that an output is the logits that the labels name.
func (t *tritonConfig) labelled(o tritonTensor) bool {
	return t.maxBatch > 0 && o.name == "logits" && len(o.dims) == 1 && len(t.labels) > 0 && o.dims[0] == int64(len(t.labels))
}

// text is the file in protobuf's text format.
func (t *tritonConfig) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "name: %s\nbackend: \"onnxruntime\"\nmax_batch_size: %d\n", quoted(t.name), t.maxBatch)
	for _, group := range []struct {
		field string
		list  []tritonTensor
	}{{"input", t.inputs}, {"output", t.outputs}} {
		fmt.Fprintf(&b, "%s [\n", group.field)
		for i, x := range group.list {
			fmt.Fprintf(&b, "  {\n    name: %s\n    data_type: %s\n", quoted(x.name), x.dtype)
			if len(x.dims) > 0 {
				fmt.Fprintf(&b, "    dims: [ %s ]\n", joined(x.dims))
			} else { // Triton has no tensors of rank 0
				b.WriteString("    dims: [ 1 ]\n    reshape { shape: [ ] }\n")
			}
			if group.field == "output" && t.labelled(x) {
				b.WriteString("    label_filename: \"labels.txt\"\n")
			}
			b.WriteString("  }")
			if i < len(group.list)-1 {
				b.WriteString(",")
			}
			b.WriteString("\n")
		}
		b.WriteString("]\n")
	}
	if t.joined {
		b.WriteString("dynamic_batching { }\n")
	}
	return b.String()
}

func joined(dims []int64) string {
	text := make([]string, len(dims))
	for i, d := range dims {
		text[i] = strconv.FormatInt(d, 10)
	}
	return strings.Join(text, ", ")
}

// quoted is a string of protobuf's text format.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20 || c == 0x7f:
			fmt.Fprintf(&b, "\\%03o", c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
