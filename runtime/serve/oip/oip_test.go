package oip

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/irtest"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

// The types that the echo models have, by the protocol's name.
var echoed = map[string]ir.DType{"BOOL": ir.Bool, "INT8": ir.Int8, "INT16": ir.DType(ort.Int16), "INT32": ir.Int32, "INT64": ir.Int64, "UINT8": ir.Uint8, "UINT16": ir.DType(ort.Uint16),
	"UINT32": ir.DType(ort.Uint32), "UINT64": ir.DType(ort.Uint64), "FP16": ir.Float16, "FP32": ir.Float32, "FP64": ir.Float64, "BF16": ir.BFloat16}

// newTree makes models: echo-TYPE gives back x[n 2], sum is a+b of FP32[n 3], enc a
// DistilBERT with a privacy statement.
func newTree(t testing.TB) string {
	t.Helper()
	tree := t.TempDir()
	for name, d := range echoed {
		b := irtest.New(18).Input("x", d, "n", 2).Node("y = Identity(x)")
		g := b.Graph()
		g.Outputs = append(g.Outputs, &ir.ValueInfo{Name: "y", DType: d, Dims: []ir.DeclaredDim{{Value: -1, Param: "n"}, {Value: 2}}})
		writeModel(t, filepath.Join(tree, "echo-"+name), g)
	}
	g := irtest.New(18).Input("a", ir.Float32, "n", 3).Input("b", ir.Float32, "n", 3).Node("sum = Add(a,b)").Node("difference = Sub(a,b)").Output("sum", "difference").Graph()
	writeModel(t, filepath.Join(tree, "sum", "2"), g)
	writeModel(t, filepath.Join(tree, "sum", "10"), g)
	if err := os.CopyFS(filepath.Join(tree, "enc"), os.DirFS("../../../testdata/models/distilbert-ts17")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(tree, "enc", "release", "privacy.json"),
		`{"private":true,"epsilon":2.5,"delta":1e-5,"unit_of_privacy":"record","relation":"add-remove","accountant":"pld"}`)
	write(t, filepath.Join(tree, "enc", "release", "statement.txt"), "A statement in words.\n")
	write(t, filepath.Join(tree, "broken", "model.onnx"), "no model")
	return tree
}

func writeModel(t testing.TB, dir string, g *ir.Graph) {
	t.Helper()
	data, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "model.onnx"), string(data))
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// newServer serves newTree.
func newServer(t testing.TB, o serve.Options) (*serve.Server, string, string) {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	tree := newTree(t)
	repo, err := serve.OpenRepository(t.Context(), tree, serve.RepositoryOptions{Log: o.Log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { repo.Close() })
	s := serve.New(repo, o)
	if err := s.Mount(New(s)); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	return s, web.URL, tree
}

func call(t testing.TB, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(data)
}

func TestREST(t *testing.T) {
	_, url, _ := newServer(t, serve.Options{})
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		want                     string // a part of the answer
	}{
		{"live", "GET", "/v2/health/live", "", 200, `{"live":true}`},
		{"ready", "GET", "/v2/health/ready", "", 200, `"ready":true`},
		{"server", "GET", "/v2", "", 200, `"name":"ghostwriter"`},
		{"list", "GET", "/v2/models", "", 200, `"enc","sum"`},
		{"metadata", "GET", "/v2/models/sum", "", 200, `{"name":"sum","versions":["2","10"],"platform":"onnx_onnxv1","inputs":[{"name":"a","datatype":"FP32","shape":[-1,3]},{"name":"b","datatype":"FP32","shape":[-1,3]}],`},
		{"metadata of a version", "GET", "/v2/models/sum/versions/2", "", 200, `"versions":["2"]`},
		{"no statement", "GET", "/v2/models/sum", "", 200, `"privacy":{"kind":"none","statement":"None.`},
		{"a statement", "GET", "/v2/models/enc", "", 200, `"privacy":{"kind":"private","epsilon":2.5,"delta":0.00001,"unit":"record","relation":"add-remove","accountant":"pld","statement":"A statement in words.\n"}`},
		{"model ready", "GET", "/v2/models/sum/ready", "", 200, `"ready":true`},
		{"version ready", "GET", "/v2/models/sum/versions/10/ready", "", 200, `"ready":true`},
		{"broken model ready", "GET", "/v2/models/broken/ready", "", 503, `"ready":false`},
		{"no such model", "GET", "/v2/models/none", "", 404, `{"error":"there is no model \"none\""}`},
		{"no such model ready", "GET", "/v2/models/none/ready", "", 404, `{"error":`},
		{"no such version", "GET", "/v2/models/sum/versions/3", "", 404, `{"error":"model sum has no version \"3\""}`},
		{"a path for a name", "GET", "/v2/models/..%2F..%2Fetc", "", 404, `{"error":`},
		{"unknown path", "GET", "/v2/nothing", "", 404, `{"error":`},
		{"wrong method", "GET", "/v2/models/sum/infer", "", 405, `{"error":`},
		{"config", "GET", "/v2/models/sum/config", "", 200, `"max_batch_size":0,"input":[{"name":"a","data_type":"TYPE_FP32","dims":[-1,3]}`},
		{"flat", "POST", "/v2/models/sum/infer", `{"id":"7","inputs":[{"name":"a","shape":[1,3],"datatype":"FP32","data":[1,2,3]},{"name":"b","shape":[1,3],"datatype":"FP32","data":[0.5,0.5,0.5]}]}`, 200,
			`{"id":"7","model_name":"sum","model_version":"10","outputs":[{"name":"sum","datatype":"FP32","shape":[1,3],"data":[1.5,2.5,3.5]},{"name":"difference","datatype":"FP32","shape":[1,3],"data":[0.5,1.5,2.5]}]}`},
		{"nested, a version, one output, unknown fields", "POST", "/v2/models/sum/versions/2/infer", `{"parameters":{"anything":1},"inputs":[{"name":"b","shape":[2,3],"datatype":"FP32","data":[[1,1,1],[1,1,1]]},{"name":"a","shape":[2,3],"datatype":"FP32","data":[[1,2,3],[4,5,6e0]]}],"outputs":[{"name":"difference"}],"more":{}}`, 200,
			`{"model_name":"sum","model_version":"2","outputs":[{"name":"difference","datatype":"FP32","shape":[2,3],"data":[0,1,2,3,4,5]}]}`},
		{"no rows", "POST", "/v2/models/sum/infer", sumOf("[0,3]", "[]"), 200, `"shape":[0,3],"data":[]`},
		{"no body", "POST", "/v2/models/sum/infer", "", 400, `{"error":"the request has no body`},
		{"no inputs", "POST", "/v2/models/sum/infer", "{}", 400, `input \"a\" is missing; model sum reads \"a\", \"b\"`},
		{"no JSON", "POST", "/v2/models/sum/infer", "{]", 400, "is not JSON"},
		{"a list", "POST", "/v2/models/sum/infer", "[]", 400, "it must be an object"},
		{"inputs no list", "POST", "/v2/models/sum/infer", `{"inputs":{}}`, 400, "inputs"},
		{"unknown input", "POST", "/v2/models/sum/infer", `{"inputs":[{"name":"c","shape":[1],"datatype":"FP32","data":[1]}]}`, 400, `model sum has no input \"c\"; it has \"a\", \"b\"`},
		{"twice", "POST", "/v2/models/echo-FP32/infer", `{"inputs":[` + echoOf("FP32", "[1,2]", "[1,2]") + `,` + echoOf("FP32", "[1,2]", "[1,2]") + `]}`, 400, `input \"x\" is there twice`},
		{"wrong datatype", "POST", "/v2/models/echo-INT64/infer", `{"inputs":[` + echoOf("FP32", "[1,2]", "[1,2]") + `]}`, 400, "its datatype is FP32; the model reads INT64"},
		{"unknown datatype", "POST", "/v2/models/echo-INT64/infer", `{"inputs":[` + echoOf("INT65", "[1,2]", "[1,2]") + `]}`, 400, `datatype \"INT65\" is unknown`},
		{"strings", "POST", "/v2/models/echo-INT64/infer", `{"inputs":[` + echoOf("BYTES", "[1,2]", `["a","b"]`) + `]}`, 400, "BYTES tensors are not served"},
		{"wrong shape", "POST", "/v2/models/sum/infer", sumOf("[1,4]", "[1,2,3,4]"), 400, "its shape [1 4] does not fit [-1 3]"},
		{"wrong rank", "POST", "/v2/models/sum/infer", sumOf("[3]", "[1,2,3]"), 400, "its shape [3] does not fit [-1 3]"},
		{"negative shape", "POST", "/v2/models/sum/infer", sumOf("[-1,3]", "[1,2,3]"), 400, "a dimension is negative"},
		{"huge shape", "POST", "/v2/models/sum/infer", sumOf("[4611686018427387904,3]", "[1,2,3]"), 400, "too many elements"},
		{"large shape", "POST", "/v2/models/sum/infer", sumOf("[500000000,3]", "[1,2,3]"), 400, "needs 1500000000 elements"},
		{"too few", "POST", "/v2/models/sum/infer", sumOf("[1,3]", "[1,2]"), 400, "needs 3 elements, \\\"data\\\" has 2"},
		{"too many", "POST", "/v2/models/sum/infer", sumOf("[1,3]", "[1,2,3,4]"), 400, "has more"},
		{"ragged", "POST", "/v2/models/sum/infer", sumOf("[2,3]", "[[1,2,3,4],[5,6]]"), 400, "nested"},
		{"text for a number", "POST", "/v2/models/sum/infer", sumOf("[1,3]", `["1",2,3]`), 400, "element 0"},
		{"null", "POST", "/v2/models/sum/infer", sumOf("[1,3]", `[1,null,3]`), 400, "element 1"},
		{"no shape", "POST", "/v2/models/sum/infer", `{"inputs":[{"name":"a","datatype":"FP32","data":[1]}]}`, 400, "it has no shape"},
		{"no data", "POST", "/v2/models/sum/infer", `{"inputs":[{"name":"a","datatype":"FP32","shape":[1,3]}]}`, 400, "needs 3 elements"},
		{"a fraction for an integer", "POST", "/v2/models/echo-INT64/infer", `{"inputs":[` + echoOf("INT64", "[1,2]", "[1,2.5]") + `]}`, 400, "element 1"},
		{"out of range", "POST", "/v2/models/echo-INT8/infer", `{"inputs":[` + echoOf("INT8", "[1,2]", "[1,128]") + `]}`, 400, "element 1"},
		{"too large for half precision", "POST", "/v2/models/echo-FP16/infer", `{"inputs":[` + echoOf("FP16", "[1,2]", "[1,70000]") + `]}`, 400, "element 1"},
		{"unknown output", "POST", "/v2/models/echo-FP32/infer", `{"inputs":[` + echoOf("FP32", "[1,2]", "[1,2]") + `],"outputs":[{"name":"z"}]}`, 400, `no output \"z\"; it has \"y\"`},
		{"too many rows", "POST", "/v2/models/echo-FP32/infer", `{"inputs":[` + echoOf("FP32", "[33,2]", "["+strings.Repeat("1,", 65)+"1]") + `]}`, 400, "has 33 rows; at most 32"},
		{"shared memory", "POST", "/v2/models/echo-FP32/infer", `{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"shared_memory_region":"r"}}]}`, 400, "shared memory"},
		{"rows that disagree", "POST", "/v2/models/sum/infer", `{"inputs":[{"name":"a","shape":[2,3],"datatype":"FP32","data":[1,2,3,4,5,6]},{"name":"b","shape":[3,3],"datatype":"FP32","data":[1,2,3,4,5,6,7,8,9]}]}`, 400, "the model can't be run on these inputs"},
		{"an id beyond the table", "POST", "/v2/models/enc/infer", `{"inputs":[{"name":"input_ids","shape":[1,2],"datatype":"INT64","data":[1,99999]},{"name":"attention_mask","shape":[1,2],"datatype":"INT64","data":[1,1]}]}`, 400, "the model can't be run on these inputs"},
		{"a broken model", "POST", "/v2/models/broken/infer", "{}", 503, "is not ready"},
		{"no such model to infer", "POST", "/v2/models/none/infer", "{}", 404, "there is no model"},
		{"index", "POST", "/v2/repository/index", "", 200, `{"name":"broken","version":"1","state":"UNAVAILABLE","reason":`},
		{"index of the ready", "POST", "/v2/repository/index", `{"ready":true}`, 200, `{"name":"sum","version":"2","state":"READY","reason":""}`},
		{"loading a broken model", "POST", "/v2/repository/models/broken/load", "", 400, "could not be loaded"},
		{"loading what is not there", "POST", "/v2/repository/models/none/load", "{}", 404, "there is no model"},
		{"loading out of the tree", "POST", "/v2/repository/models/..%2Fsum/load", "", 404, "there is no model"},
		{"files by request", "POST", "/v2/repository/models/sum/load", `{"parameters":{"file:1/model.onnx":"AAAA"}}`, 400, "is not served"},
		{"loading", "POST", "/v2/repository/models/sum/load", `{"parameters":{}}`, 200, `"name":"sum"`},
		{"unloading", "POST", "/v2/repository/models/sum/unload", `{"parameters":{"unload_dependents":false}}`, 200, `"name":"sum"`},
		{"unloaded", "POST", "/v2/models/sum/infer", sumOf("[1,3]", "[1,2,3]"), 503, "is not ready"},
		{"loading again", "POST", "/v2/repository/models/sum/load", "", 200, `"name":"sum"`},
		{"loaded", "POST", "/v2/models/sum/infer", sumOf("[1,3]", "[1,2,3]"), 200, `"data":[2,4,6]`},
		{"statistics", "GET", "/v2/models/sum/versions/10/stats", "", 200, `"inference_count":1,"execution_count":1`},
		{"all statistics", "GET", "/v2/models/stats", "", 200, `"name":"enc"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, body := call(t, c.method, url+c.path, c.body)
			if resp.StatusCode != c.status || !strings.Contains(body, c.want) {
				t.Errorf("%s %s\n%s\ngot %d %s\nwant %d with %s", c.method, c.path, c.body, resp.StatusCode, body, c.status, c.want)
			}
			if !json.Valid([]byte(body)) || resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("the answer is not JSON: %s %s", resp.Header.Get("Content-Type"), body)
			}
		})
	}
}

func sumOf(shape, data string) string {
	t := func(name string) string {
		return `{"name":"` + name + `","shape":` + shape + `,"datatype":"FP32","data":` + data + `}`
	}
	return `{"inputs":[` + t("a") + "," + t("b") + `]}`
}

func echoOf(datatype, shape, data string) string {
	return `{"name":"x","shape":` + shape + `,"datatype":"` + datatype + `","data":` + data + `}`
}

// Every datatype goes there and back, in JSON and as bytes.
func TestDatatypes(t *testing.T) {
	_, url, _ := newServer(t, serve.Options{})
	for name, c := range map[string]struct{ data, bytes string }{
		"BOOL": {"[true,false]", "\x01\x00"}, "INT8": {"[-128,127]", "\x80\x7f"}, "INT16": {"[-32768,32767]", "\x00\x80\xff\x7f"}, "INT32": {"[-2147483648,1]", "\x00\x00\x00\x80\x01\x00\x00\x00"},
		"INT64": {"[-9223372036854775808,9007199254740993]", "\x00\x00\x00\x00\x00\x00\x00\x80\x01\x00\x00\x00\x00\x00\x20\x00"}, "UINT8": {"[0,255]", "\x00\xff"}, "UINT16": {"[1,65535]", "\x01\x00\xff\xff"},
		"UINT32": {"[1,4294967295]", "\x01\x00\x00\x00\xff\xff\xff\xff"}, "UINT64": {"[1,18446744073709551615]", "\x01\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"},
		"FP16": {"[1.5,-2]", "\x00\x3e\x00\xc0"}, "BF16": {"[1.5,-2]", "\xc0\x3f\x00\xc0"}, "FP32": {"[0.1,-1e-45]", "\xcd\xcc\xcc\x3d\x01\x00\x00\x80"}, "FP64": {"[0.1,-5e-324]", "\x9a\x99\x99\x99\x99\x99\xb9\x3f\x01\x00\x00\x00\x00\x00\x00\x80"},
	} {
		t.Run(name, func(t *testing.T) {
			path := url + "/v2/models/echo-" + name + "/infer"
			resp, body := call(t, "POST", path, `{"inputs":[`+echoOf(name, "[1,2]", c.data)+`]}`)
			if resp.StatusCode != 200 || !strings.Contains(body, `"datatype":"`+name+`","shape":[1,2],"data":`+c.data) {
				t.Fatalf("JSON: %d %s", resp.StatusCode, body)
			}
			head := `{"inputs":[{"name":"x","shape":[1,2],"datatype":"` + name + `","parameters":{"binary_data_size":` + itoa(len(c.bytes)) + `}}],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}`
			resp, body = call(t, "POST", path, head+c.bytes, headerLength, itoa(len(head)))
			n := resp.Header.Get(headerLength)
			if resp.StatusCode != 200 || n == "" || body[atoi(t, n):] != c.bytes {
				t.Fatalf("bytes: %d %q %s", resp.StatusCode, body, n)
			}
			if !strings.Contains(body[:atoi(t, n)], `"binary_data_size":`+itoa(len(c.bytes))) {
				t.Errorf("the answer's JSON: %s", body[:atoi(t, n)])
			}
		})
	}
}
