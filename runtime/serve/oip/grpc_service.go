package oip

import (
	"context"

	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
	pb "github.com/ghostwriter-dp/ghostwriter/runtime/serve/oip/inferencepb"
)

// A service answers the protocol's calls. The gate turns its errors into gRPC's.
type service struct {
	pb.UnimplementedGRPCInferenceServiceServer
	server *serve.Server
}

// ServerLive says that the process answers.
func (s *service) ServerLive(context.Context, *pb.ServerLiveRequest) (*pb.ServerLiveResponse, error) {
	return &pb.ServerLiveResponse{Live: true}, nil
}

// ServerReady says whether requests are welcome.
func (s *service) ServerReady(context.Context, *pb.ServerReadyRequest) (*pb.ServerReadyResponse, error) {
	return &pb.ServerReadyResponse{Ready: s.server.Ready()}, nil
}

// ModelReady says whether a model is ready.
func (s *service) ModelReady(_ context.Context, q *pb.ModelReadyRequest) (*pb.ModelReadyResponse, error) {
	ready, err := modelReady(s.server, q.GetName(), q.GetVersion())
	return &pb.ModelReadyResponse{Ready: ready}, err
}

// ServerMetadata names the server.
func (s *service) ServerMetadata(context.Context, *pb.ServerMetadataRequest) (*pb.ServerMetadataResponse, error) {
	return &pb.ServerMetadataResponse{Name: serve.ServerName, Version: s.server.Version(), Extensions: extensions}, nil
}

// ModelMetadata describes a model, its privacy statement in the properties.
func (s *service) ModelMetadata(ctx context.Context, q *pb.ModelMetadataRequest) (*pb.ModelMetadataResponse, error) {
	m, err := describe(ctx, s.server, q.GetName(), q.GetVersion())
	if err != nil {
		return nil, err
	}
	out := &pb.ModelMetadataResponse{Name: m.Name, Versions: m.Versions, Platform: m.Platform, Properties: properties(m.Privacy)}
	for _, t := range m.Inputs {
		out.Inputs = append(out.Inputs, &pb.ModelMetadataResponse_TensorMetadata{Name: t.Name, Datatype: t.Datatype, Shape: t.Shape})
	}
	for _, t := range m.Outputs {
		out.Outputs = append(out.Outputs, &pb.ModelMetadataResponse_TensorMetadata{Name: t.Name, Datatype: t.Datatype, Shape: t.Shape})
	}
	return out, nil
}

// ModelConfig is what of Triton's configuration means something here.
func (s *service) ModelConfig(ctx context.Context, q *pb.ModelConfigRequest) (*pb.ModelConfigResponse, error) {
	l, err := acquire(ctx, s.server, q.GetName(), q.GetVersion())
	if err != nil {
		return nil, err
	}
	defer l.Release()
	c := &pb.ModelConfig{Name: l.Name(), Platform: platform, Backend: "onnxruntime"}
	for _, i := range l.Inputs() {
		c.Input = append(c.Input, &pb.ModelInput{Name: i.Name, DataType: pb.DataType(configOf(i.DType)), Dims: i.Dims})
	}
	for _, o := range l.Outputs() {
		c.Output = append(c.Output, &pb.ModelOutput{Name: o.Name, DataType: pb.DataType(configOf(o.DType)), Dims: o.Dims})
	}
	return &pb.ModelConfigResponse{Config: c}, nil
}

// ModelStatistics are what ready versions have done since they were loaded.
func (s *service) ModelStatistics(_ context.Context, q *pb.ModelStatisticsRequest) (*pb.ModelStatisticsResponse, error) {
	list, err := gatherStats(s.server, q.GetName(), q.GetVersion())
	if err != nil {
		return nil, err
	}
	out := &pb.ModelStatisticsResponse{}
	duration := func(t tallyJSON) *pb.StatisticDuration {
		return &pb.StatisticDuration{Count: t.Count, Ns: uint64(t.NS)}
	}
	for _, m := range list {
		out.ModelStats = append(out.ModelStats, &pb.ModelStatistics{Name: m.Name, Version: m.Version, LastInference: uint64(m.LastInference),
			InferenceCount: m.InferenceCount, ExecutionCount: m.ExecutionCount,
			InferenceStats: &pb.InferStatistics{Success: duration(m.InferenceStats["success"]), Fail: duration(m.InferenceStats["fail"]),
				Queue: duration(m.InferenceStats["queue"]), ComputeInfer: duration(m.InferenceStats["compute_infer"])}})
	}
	return out, nil
}

// RepositoryIndex lists what is known.
func (s *service) RepositoryIndex(_ context.Context, q *pb.RepositoryIndexRequest) (*pb.RepositoryIndexResponse, error) {
	out := &pb.RepositoryIndexResponse{}
	for _, v := range s.server.Repository().Index() {
		if !q.GetReady() || v.State == serve.StateReady {
			out.Models = append(out.Models, &pb.RepositoryIndexResponse_ModelIndex{Name: v.Name, Version: v.Version, State: string(v.State), Reason: v.Reason})
		}
	}
	return out, nil
}

// RepositoryModelLoad loads a model, anew where it is loaded.
func (s *service) RepositoryModelLoad(ctx context.Context, q *pb.RepositoryModelLoadRequest) (*pb.RepositoryModelLoadResponse, error) {
	name, err := controlled(q.GetRepositoryName(), q.GetModelName(), q.GetParameters())
	if err == nil {
		err = s.server.Repository().Load(ctx, name)
	}
	return &pb.RepositoryModelLoadResponse{ModelName: name, IsLoaded: err == nil}, err
}

// RepositoryModelUnload takes a model out.
func (s *service) RepositoryModelUnload(_ context.Context, q *pb.RepositoryModelUnloadRequest) (*pb.RepositoryModelUnloadResponse, error) {
	name, err := controlled(q.GetRepositoryName(), q.GetModelName(), q.GetParameters())
	if err == nil {
		err = s.server.Repository().Unload(name)
	}
	return &pb.RepositoryModelUnloadResponse{ModelName: name, IsUnloaded: err == nil}, err
}

// controlled reads the name of a model to load or unload from Triton's field or
// KServe's.
func controlled[P any](repository, model string, parameters map[string]P) (string, error) {
	for name := range parameters {
		if name != "unload_dependents" {
			return "", serve.BadRequest("parameters", "parameter %.60q is not served: a model is loaded from its folder, as it lies there", name)
		}
	}
	if model == "" {
		model, repository = repository, ""
	}
	if repository != "" {
		return "", serve.BadRequest("repository_name", "there is one repository, which has no name")
	}
	return model, nil
}
