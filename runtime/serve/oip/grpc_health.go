package oip

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve/oip/inferencepb"
)

// health is gRPC's health service: of the server ("" or the inference service's
// name).
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	server *serve.Server
}

// watchEvery is how often a watcher's answer is looked at again.
const watchEvery = 500 * time.Millisecond

func (h *health) state(service string) (grpc_health_v1.HealthCheckResponse_ServingStatus, error) {
	if service != "" && service != inferencepb.GRPCInferenceService_ServiceDesc.ServiceName {
		return grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN, status.Errorf(codes.NotFound, "there is no service %.60q", service)
	}
	if h.server.Ready() {
		return grpc_health_v1.HealthCheckResponse_SERVING, nil
	}
	return grpc_health_v1.HealthCheckResponse_NOT_SERVING, nil
}

// Check answers once.
func (h *health) Check(_ context.Context, q *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	state, err := h.state(q.GetService())
	if err != nil {
		return nil, serve.Errorf(404, serve.CodeNotFound, "there is no service %.60q", q.GetService())
	}
	return &grpc_health_v1.HealthCheckResponse{Status: state}, nil
}

// Watch answers whenever the answer changes, until the server shuts down.
func (h *health) Watch(q *grpc_health_v1.HealthCheckRequest, stream grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	last := grpc_health_v1.HealthCheckResponse_UNKNOWN
	for {
		state, _ := h.state(q.GetService())
		if state != last {
			if err := stream.Send(&grpc_health_v1.HealthCheckResponse{Status: state}); err != nil {
				return err
			}
			last = state
		}
		if h.server.Draining() {
			return status.Error(codes.Unavailable, "the server is shutting down")
		}
		select {
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		case <-tick.C:
		}
	}
}
