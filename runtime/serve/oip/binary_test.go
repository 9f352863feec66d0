package oip

import (
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
)

func itoa(n int) string { return strconv.Itoa(n) }

func atoi(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What is wrong with a binary request is said, and nothing is read beyond it.
func TestBinaryRequests(t *testing.T) {
	_, url, _ := newServer(t, serve.Options{})
	size := func(n string) string {
		return `{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":` + n + `}}]}`
	}
	for _, c := range []struct {
		name, head, tail, length string
		status                   int
		want                     string
	}{
		{"as it should be", size("8"), "\x00\x00\x80\x3f\x00\x00\x00\x40", "", 200, `"data":[1,2]`},
		{"all outputs binary", strings.Replace(size("8"), `{"inputs"`, `{"parameters":{"binary_data_output":true},"inputs"`, 1), "\x00\x00\x80\x3f\x00\x00\x00\x40", "", 200, `"binary_data_size":8`},
		{"too short", size("8"), "1234567", "", 400, "7 bytes are left"},
		{"too long", size("8"), "123456789", "", 400, "1 bytes follow the last"},
		{"another size than the shape", size("7"), "1234567", "", 400, "needs 8 bytes, there are 7"},
		{"negative", size("-1"), "", "", 400, "binary_data_size is -1"},
		{"the header beyond the body", size("8"), "12345678", "1000", 400, "the body has"},
		{"the header no number", size("8"), "12345678", "-1", 400, headerLength},
		{"a raw body", size("8"), "12345678", "0", 400, "not served"},
		{"the header in the middle", size("8"), "12345678", "10", 400, "is not JSON"},
		{"both", strings.Replace(size("8"), `"parameters"`, `"data":[1,2],"parameters"`, 1), "12345678", "", 400, "both"},
		{"a truth value of 2", `{"inputs":[{"name":"x","shape":[1,2],"datatype":"BOOL","parameters":{"binary_data_size":2}}]}`, "\x01\x02", "", 400, "BOOL is 0 or 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			length := c.length
			if length == "" {
				length = itoa(len(c.head))
			}
			resp, body := call(t, "POST", url+"/v2/models/echo-FP32/infer", c.head+c.tail, headerLength, length)
			if resp.StatusCode != c.status || !strings.Contains(body, c.want) {
				t.Errorf("%d %s, want %d %s", resp.StatusCode, body, c.status, c.want)
			}
		})
	}
	if resp, body := call(t, "POST", url+"/v2/models/echo-FP32/infer", "x", "Content-Encoding", "gzip"); resp.StatusCode != 415 {
		t.Errorf("a compressed body: %d %s", resp.StatusCode, body)
	}
}

// A number that is not finite has no JSON; as bytes it goes through.
func TestNotFinite(t *testing.T) {
	_, url, _ := newServer(t, serve.Options{})
	head := `{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}`
	nan := "\x00\x00\xc0\x7f\x00\x00\x80\x7f"
	resp, body := call(t, "POST", url+"/v2/models/echo-FP32/infer", head+nan, headerLength, itoa(len(head)))
	if resp.StatusCode != 500 || !strings.Contains(body, `ask for it with \"binary_data\": true`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	head = strings.TrimSuffix(head, "}") + `,"outputs":[{"name":"y","parameters":{"binary_data":true}}]}`
	resp, body = call(t, "POST", url+"/v2/models/echo-FP32/infer", head+nan, headerLength, itoa(len(head)))
	if resp.StatusCode != 200 || !strings.HasSuffix(body, nan) {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
}

func FuzzParseInfer(f *testing.F) {
	f.Add([]byte(sumOf("[1,3]", "[1,2,3]")), "")
	f.Add([]byte(sumOf("[2,3]", "[[1,2,3],[4,5,6]]")), "")
	f.Add([]byte(`{"inputs":[{"name":"x","shape":[],"datatype":"BOOL","data":true}],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}`), "")
	f.Add([]byte(`{"inputs":[{"name":"x","shape":[1,2],"datatype":"UINT8","parameters":{"binary_data_size":2}}]}ab`), "87")
	f.Add([]byte(`{"inputs":[{"name":"x","shape":[0,9223372036854775807],"datatype":"BF16","data":[[]]}]}`), "")
	f.Fuzz(func(t *testing.T, body []byte, length string) {
		q, err := parseInfer(body, length)
		if err != nil {
			if e := serve.AsError(err); e.Status != 400 {
				t.Errorf("status %d for %v", e.Status, err)
			}
			return
		}
		for _, in := range q.inputs {
			n, err := count(in.tensor.Shape())
			if err != nil || n != in.tensor.Len() {
				t.Errorf("input %q: %v has %d elements (%v)", in.name, in.tensor, in.tensor.Len(), err)
			}
			if in.tensor.Len() > len(body) {
				t.Errorf("input %q: %d elements out of %d bytes", in.name, in.tensor.Len(), len(body))
			}
		}
	})
}

// What is decoded and encoded again is decoded to the same.
func FuzzDecodeData(f *testing.F) {
	for i, d := range []string{"[1,2]", "[[1],[2]]", "[[[]]]", "true", "[1e400]", "[-0.0]", "[\"[\",1]", "[[1,2],[3]]", "[]"} {
		f.Add(byte(i), int64(2), int64(1), []byte(d))
	}
	f.Fuzz(func(t *testing.T, kind byte, a, b int64, data []byte) {
		d := datatypes[int(kind)%len(datatypes)].dtype
		var raw any
		if serve.ParseJSON(data, &raw) != nil {
			return // encoding/json refuses it before
		}
		got, err := decodeData(d, []int64{a, b}, data)
		if err != nil {
			return
		}
		again, err := appendData(nil, got)
		if err != nil {
			t.Fatalf("%s became %v, which can't be written: %v", data, got, err)
		}
		back, err := decodeData(d, []int64{a, b}, again)
		if err != nil || string(back.Bytes()) != string(got.Bytes()) {
			t.Errorf("%s became %s: %v", data, again, err)
		}
	})
}

// BenchmarkParseInfer reads a request of 2 × 64 integers.
func BenchmarkParseInfer(b *testing.B) {
	ids := "[" + strings.TrimSuffix(strings.Repeat("12345,", 64), ",") + "]"
	body := []byte(`{"inputs":[` + strings.Replace(echoOf("INT64", "[1,64]", ids), `"x"`, `"input_ids"`, 1) + "," + echoOf("INT64", "[1,64]", ids) + `]}`)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := parseInfer(body, ""); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInfer answers a request through a handler, without a network.
func BenchmarkInfer(b *testing.B) {
	s, _, _ := newServer(b, serve.Options{})
	body := sumOf("[1,3]", "[1,2,3]")
	for b.Loop() {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("POST", "/v2/models/sum/infer", strings.NewReader(body)))
		if w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}
