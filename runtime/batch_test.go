package runtime

import (
	"strings"
	"testing"
)

func TestParseBatchRefuses(t *testing.T) {
	tensor := func(dtype, shape, data string) string {
		return `{"inputs":{"x":{"dtype":"` + dtype + `","shape":` + shape + `,"data":` + data + `}}}`
	}
	for text, says := range map[string]string{
		``:                              "not a batch",
		`[]`:                            "not a batch",
		`{}`:                            "inputs",
		tensor("int64", "[2]", "[1]"):   "needs 2",
		tensor("int64", "[-1]", "[]"):   "shape",
		tensor("int64", "[1]", "[1.5]"): "int64",
		tensor("int64", "[1]", `["a"]`): "numbers",
		tensor("int64", "[1]", "[9223372036854775808]"):  "int64",
		tensor("int32", "[1]", "[2147483648]"):           "int32",
		tensor("int64", "[9999999999,9999999999]", "[]"): "shape",
		tensor("string", "[1]", `["a"]`):                 "string",
		tensor("float32", "[1,1]", "[[1]]"):              "numbers",
		tensor("bool", "[1]", "[2]"):                     "element",
	} {
		if _, err := ParseBatch([]byte(text)); ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v does not name %q", text, err, says)
		}
	}
	b, err := ParseBatch([]byte(tensor("float32", "[0,3]", "[]")))
	if err != nil || b.Inputs["x"].Len() != 0 {
		t.Errorf("an empty tensor: %v", err)
	}
}

func FuzzParseBatch(f *testing.F) {
	f.Add([]byte(`{"inputs":{"input_ids":{"dtype":"int64","shape":[1,2],"data":[1,2]}},"labels":{"dtype":"int64","shape":[1],"data":[0]}}`))
	f.Add([]byte(`{"inputs":{"x":{"dtype":"bool","shape":[1],"data":[true]}},"mask_position":{"dtype":"int64","shape":[0],"data":[]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := ParseBatch(data)
		if err != nil {
			if ExitCode(err) != ExitUsage {
				t.Errorf("exit code %d: %v", ExitCode(err), err)
			}
			return
		}
		for name, x := range b.Inputs {
			n := int64(1)
			for _, d := range x.Shape() {
				n *= d
			}
			if int64(x.Len()) != n {
				t.Errorf("%q: %d elements of shape %v", name, x.Len(), x.Shape())
			}
		}
	})
}
