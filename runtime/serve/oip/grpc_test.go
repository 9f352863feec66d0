package oip

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
	pb "github.com/ghostwriter-dp/ghostwriter/runtime/serve/oip/inferencepb"
)

// dial serves newTree over gRPC and connects to it.
func dial(t *testing.T, o serve.Options) *grpc.ClientConn {
	t.Helper()
	s, _, _ := newServer(t, o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := NewGRPC(s)
	ended := make(chan error, 1)
	go func() { ended <- e.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		if err := e.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return conn
}

func TestGRPCServer(t *testing.T) {
	conn := dial(t, serve.Options{})
	c, ctx := pb.NewGRPCInferenceServiceClient(conn), t.Context()
	if r, err := c.ServerLive(ctx, &pb.ServerLiveRequest{}); err != nil || !r.Live {
		t.Error(r, err)
	}
	if r, err := c.ServerReady(ctx, &pb.ServerReadyRequest{}); err != nil || !r.Ready {
		t.Error(r, err)
	}
	if r, err := c.ServerMetadata(ctx, &pb.ServerMetadataRequest{}); err != nil || r.Name != "ghostwriter" || r.Version == "" {
		t.Error(r, err)
	}
	for name, want := range map[string]bool{"sum": true, "broken": false} {
		if r, err := c.ModelReady(ctx, &pb.ModelReadyRequest{Name: name}); err != nil || r.Ready != want {
			t.Error(name, r, err)
		}
	}
	if _, err := c.ModelReady(ctx, &pb.ModelReadyRequest{Name: "none"}); status.Code(err) != codes.NotFound {
		t.Error(err)
	}
	m, err := c.ModelMetadata(ctx, &pb.ModelMetadataRequest{Name: "sum"})
	if err != nil || !slices.Equal(m.Versions, []string{"2", "10"}) || m.Platform != platform || !slices.Equal(m.Inputs[0].Shape, []int64{-1, 3}) || m.Outputs[1].Name != "difference" || m.Properties["privacy"] != "none" {
		t.Error(m, err)
	}
	m, err = c.ModelMetadata(ctx, &pb.ModelMetadataRequest{Name: "enc"})
	if err != nil || m.Properties["privacy"] != "private" || m.Properties["privacy.epsilon"] != "2.5" || m.Properties["privacy.delta"] != "1e-05" || m.Properties["privacy.statement"] != "A statement in words.\n" {
		t.Error(m, err)
	}
	config, err := c.ModelConfig(ctx, &pb.ModelConfigRequest{Name: "sum"})
	if err != nil || config.Config.Input[0].DataType != pb.DataType_TYPE_FP32 || config.Config.MaxBatchSize != 0 {
		t.Error(config, err)
	}
	index, err := c.RepositoryIndex(ctx, &pb.RepositoryIndexRequest{Ready: true})
	if err != nil || slices.ContainsFunc(index.Models, func(m *pb.RepositoryIndexResponse_ModelIndex) bool { return m.State != "READY" }) || len(index.Models) < 10 {
		t.Error(index, err)
	}
	h := grpc_health_v1.NewHealthClient(conn)
	if r, err := h.Check(ctx, &grpc_health_v1.HealthCheckRequest{}); err != nil || r.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Error(r, err)
	}
	if _, err := h.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "other"}); status.Code(err) != codes.NotFound {
		t.Error(err)
	}
}

// Reflection names the service: grpcurl needs no file.
func TestGRPCReflection(t *testing.T) {
	stream, err := grpc_reflection_v1.NewServerReflectionClient(dial(t, serve.Options{})).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	r, err := stream.Recv()
	if err != nil || !strings.Contains(r.String(), "inference.GRPCInferenceService") {
		t.Error(r, err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Error(err)
	}
}

// sumRequest makes a request of sum.
func sumRequest(rows int64, values ...float32) *pb.ModelInferRequest {
	t := func(name string) *pb.ModelInferRequest_InferInputTensor {
		return &pb.ModelInferRequest_InferInputTensor{Name: name, Datatype: "FP32", Shape: []int64{rows, 3}, Contents: &pb.InferTensorContents{Fp32Contents: values}}
	}
	return &pb.ModelInferRequest{ModelName: "sum", Id: "x1", Inputs: []*pb.ModelInferRequest_InferInputTensor{t("a"), t("b")}}
}

func TestGRPCInfer(t *testing.T) {
	c, ctx := pb.NewGRPCInferenceServiceClient(dial(t, serve.Options{})), t.Context()
	q := sumRequest(1, 1, 2, 3)
	q.Outputs = []*pb.ModelInferRequest_InferRequestedOutputTensor{{Name: "sum"}}
	r, err := c.ModelInfer(ctx, q)
	if err != nil || r.Id != "x1" || r.ModelVersion != "10" || len(r.Outputs) != 1 || !slices.Equal(r.Outputs[0].Contents.Fp32Contents, []float32{2, 4, 6}) || len(r.RawOutputContents) != 0 {
		t.Error(r, err)
	}
	for name, bad := range map[string]struct {
		change func(*pb.ModelInferRequest)
		code   codes.Code
		want   string
	}{
		"no such model":   {func(q *pb.ModelInferRequest) { q.ModelName = "none" }, codes.NotFound, "no model"},
		"no such version": {func(q *pb.ModelInferRequest) { q.ModelVersion = "3" }, codes.NotFound, "no version"},
		"broken":          {func(q *pb.ModelInferRequest) { q.ModelName = "broken" }, codes.Unavailable, "not ready"},
		"missing input":   {func(q *pb.ModelInferRequest) { q.Inputs = q.Inputs[:1] }, codes.InvalidArgument, `"b" is missing`},
		"another field": {func(q *pb.ModelInferRequest) {
			q.Inputs[0].Contents = &pb.InferTensorContents{Fp64Contents: []float64{1, 2, 3}}
		}, codes.InvalidArgument, "needs 3 elements"},
		"no contents":       {func(q *pb.ModelInferRequest) { q.Inputs[0].Contents = nil }, codes.InvalidArgument, "needs 3 elements"},
		"raw for one":       {func(q *pb.ModelInferRequest) { q.RawInputContents = [][]byte{{1}} }, codes.InvalidArgument, "1 elements for 2 inputs"},
		"raw and contents":  {func(q *pb.ModelInferRequest) { q.RawInputContents = [][]byte{{1}, {2}} }, codes.InvalidArgument, "beside"},
		"strings":           {func(q *pb.ModelInferRequest) { q.Inputs[0].Datatype = "BYTES" }, codes.InvalidArgument, "BYTES"},
		"half has no typed": {func(q *pb.ModelInferRequest) { q.Inputs[0].Datatype = "FP16" }, codes.InvalidArgument, "send raw_input_contents"},
		"overflow":          {func(q *pb.ModelInferRequest) { q.Inputs[0].Shape = []int64{1 << 62, 1 << 62} }, codes.InvalidArgument, "too many elements"},
		"shared memory": {func(q *pb.ModelInferRequest) {
			q.Inputs[0].Parameters = map[string]*pb.InferParameter{"shared_memory_region": {ParameterChoice: &pb.InferParameter_StringParam{StringParam: "r"}}}
		}, codes.InvalidArgument, "shared memory"},
		"too large": {func(q *pb.ModelInferRequest) { q.Id = strings.Repeat("x", 2_100_000) }, codes.ResourceExhausted, "larger than max"},
	} {
		q := sumRequest(1, 1, 2, 3)
		bad.change(q)
		if _, err := c.ModelInfer(ctx, q); status.Code(err) != bad.code || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: %v, want %v with %q", name, err, bad.code, bad.want)
		}
	}
}

// Every datatype goes there and back raw, and typed where it has typed contents.
func TestGRPCDatatypes(t *testing.T) {
	c := pb.NewGRPCInferenceServiceClient(dial(t, serve.Options{}))
	for name, typed := range map[string]*pb.InferTensorContents{
		"BOOL": {BoolContents: []bool{true, false}}, "INT8": {IntContents: []int32{-128, 127}}, "INT16": {IntContents: []int32{-32768, 1}}, "INT32": {IntContents: []int32{-1 << 31, 1}},
		"INT64": {Int64Contents: []int64{-1 << 63, 1}}, "UINT8": {UintContents: []uint32{255, 0}}, "UINT16": {UintContents: []uint32{65535, 1}}, "UINT32": {UintContents: []uint32{1<<32 - 1, 1}},
		"UINT64": {Uint64Contents: []uint64{1<<64 - 1, 1}}, "FP32": {Fp32Contents: []float32{0.1, -1e-45}}, "FP64": {Fp64Contents: []float64{0.1, 5e-324}}, "FP16": nil, "BF16": nil,
	} {
		d, _ := dtypeOf(name)
		raw := []byte(strings.Repeat("\x01\x00", d.Size()))[:2*d.Size()]
		in := &pb.ModelInferRequest_InferInputTensor{Name: "x", Datatype: name, Shape: []int64{1, 2}}
		q := &pb.ModelInferRequest{ModelName: "echo-" + name, Inputs: []*pb.ModelInferRequest_InferInputTensor{in}, RawInputContents: [][]byte{raw}}
		r, err := c.ModelInfer(t.Context(), q)
		if err != nil || len(r.RawOutputContents) != 1 || string(r.RawOutputContents[0]) != string(raw) || r.Outputs[0].Datatype != name {
			t.Errorf("%s raw: %v %v", name, r, err)
		}
		if typed == nil {
			continue
		}
		in.Contents, q.RawInputContents = typed, nil
		r, err = c.ModelInfer(t.Context(), q)
		if err != nil || !proto.Equal(r.Outputs[0].Contents, typed) {
			t.Errorf("%s typed: %v %v", name, r, err)
		}
	}
	// What does not fit the datatype is refused, not wrapped around.
	q := &pb.ModelInferRequest{ModelName: "echo-INT8", Inputs: []*pb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "INT8", Shape: []int64{1, 2}, Contents: &pb.InferTensorContents{IntContents: []int32{128, 0}}}}}
	if _, err := c.ModelInfer(t.Context(), q); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
}

// Triton's clients and KServe's name the model in different fields.
func TestGRPCRepository(t *testing.T) {
	c, ctx := pb.NewGRPCInferenceServiceClient(dial(t, serve.Options{})), t.Context()
	if r, err := c.RepositoryModelUnload(ctx, &pb.RepositoryModelUnloadRequest{ModelName: "sum"}); err != nil || !r.IsUnloaded {
		t.Error(r, err)
	}
	if _, err := c.ModelInfer(ctx, sumRequest(1, 1, 2, 3)); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	if r, err := c.RepositoryModelLoad(ctx, &pb.RepositoryModelLoadRequest{RepositoryName: "sum"}); err != nil || !r.IsLoaded || r.ModelName != "sum" {
		t.Error(r, err)
	}
	if _, err := c.ModelInfer(ctx, sumRequest(1, 1, 2, 3)); err != nil {
		t.Error(err)
	}
	stats, err := c.ModelStatistics(ctx, &pb.ModelStatisticsRequest{Name: "sum", Version: "10"})
	if err != nil || len(stats.ModelStats) != 1 || stats.ModelStats[0].InferenceCount < 1 {
		t.Error(stats, err)
	}
	if _, err := c.RepositoryModelLoad(ctx, &pb.RepositoryModelLoadRequest{RepositoryName: "elsewhere", ModelName: "sum"}); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
	if _, err := c.RepositoryModelLoad(ctx, &pb.RepositoryModelLoadRequest{ModelName: "../sum"}); status.Code(err) != codes.NotFound {
		t.Error(err)
	}
	files := map[string]*pb.ModelRepositoryParameter{"file:1/model.onnx": {ParameterChoice: &pb.ModelRepositoryParameter_BytesParam{BytesParam: []byte("x")}}}
	if _, err := c.RepositoryModelLoad(ctx, &pb.RepositoryModelLoadRequest{ModelName: "sum", Parameters: files}); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
}

func TestGRPCKeysAndRoom(t *testing.T) {
	keys, err := serve.ParseKeys([]byte("a-key-of-some-length"))
	if err != nil {
		t.Fatal(err)
	}
	c := pb.NewGRPCInferenceServiceClient(dial(t, serve.Options{Keys: keys, Limits: serve.Limits{Concurrent: 1}}))
	for _, call := range []struct {
		header, value string
		want          codes.Code
	}{{"x", "y", codes.Unauthenticated}, {"authorization", "Bearer a-key-of-some-length", codes.OK}, {"x-api-key", "a-key-of-some-length", codes.OK}, {"x-api-key", "another-key-0123456", codes.Unauthenticated}} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), call.header, call.value)
		if _, err := c.ModelInfer(ctx, sumRequest(1, 1, 2, 3)); status.Code(err) != call.want {
			t.Errorf("%s: %v, want %v", call.header, err, call.want)
		}
	}
	if _, err := c.ServerReady(t.Context(), &pb.ServerReadyRequest{}); err != nil {
		t.Errorf("a probe asked for a key: %v", err)
	}
	if _, err := c.ModelMetadata(t.Context(), &pb.ModelMetadataRequest{Name: "sum"}); status.Code(err) != codes.Unauthenticated {
		t.Error(err)
	}
	late, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "x-api-key", "a-key-of-some-length"), time.Nanosecond)
	defer cancel()
	if _, err := c.ModelInfer(late, sumRequest(1, 1, 2, 3)); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a deadline: %v", err)
	}
}

// FuzzProto reads any request that a client may send.
func FuzzProto(f *testing.F) {
	for _, q := range []*pb.ModelInferRequest{sumRequest(1, 1, 2, 3), {Inputs: []*pb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "BF16", Shape: []int64{2, 2}}}, RawInputContents: [][]byte{make([]byte, 8)}}} {
		data, err := proto.Marshal(q)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var in pb.ModelInferRequest
		if proto.Unmarshal(data, &in) != nil {
			return
		}
		q, err := fromProto(&in)
		if err != nil {
			if serve.AsError(err).Status != 400 {
				t.Error(err)
			}
			return
		}
		r := &response{outputs: make([]output, 0, len(q.inputs))}
		for _, i := range q.inputs {
			if i.tensor.Len() > len(data) {
				t.Errorf("%d elements out of %d bytes", i.tensor.Len(), len(data))
			}
			r.outputs = append(r.outputs, output{wanted{name: i.name}, i.tensor})
		}
		if _, err := r.proto(false); err != nil {
			t.Error(fmt.Errorf("what was read can't be written: %w", err))
		}
	})
}
