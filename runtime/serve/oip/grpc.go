package oip

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve/oip/inferencepb"
)

// NewGRPC returns the endpoint of the protocol's gRPC form, with the health service
// and reflection. Keys, limits, metrics and log are the server's, as for HTTP.
func NewGRPC(s *serve.Server) serve.Endpoint {
	l := s.Limits()
	g := gate{s}
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(int(l.Body)), grpc.MaxConcurrentStreams(uint32(l.Concurrent)), grpc.ConnectionTimeout(l.Header),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: l.Idle, Time: l.Write, Timeout: l.Write}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.ChainUnaryInterceptor(g.unary), grpc.ChainStreamInterceptor(g.stream),
	}
	if s.TLS() != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(s.TLS())))
	}
	e := &grpcEndpoint{grpc.NewServer(options...)}
	inferencepb.RegisterGRPCInferenceServiceServer(e.server, &service{server: s})
	grpc_health_v1.RegisterHealthServer(e.server, &health{server: s})
	reflection.Register(e.server)
	return e
}

type grpcEndpoint struct{ server *grpc.Server }

func (e *grpcEndpoint) Serve(l net.Listener) error { return e.server.Serve(l) }

func (e *grpcEndpoint) Shutdown(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		e.server.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		e.server.Stop()
		<-done
		return ctx.Err()
	}
}

// A gate is what every call goes through, as serve's chain is for HTTP.
type gate struct{ server *serve.Server }

// open are the methods that need no key and are answered at any load: probes.
var open = map[string]bool{
	inferencepb.GRPCInferenceService_ServerLive_FullMethodName: true, inferencepb.GRPCInferenceService_ServerReady_FullMethodName: true,
	grpc_health_v1.Health_Check_FullMethodName: true,
}

// light are those that do no work worth bounding, but need a key.
var light = map[string]bool{
	inferencepb.GRPCInferenceService_ModelReady_FullMethodName: true, inferencepb.GRPCInferenceService_ServerMetadata_FullMethodName: true,
	inferencepb.GRPCInferenceService_ModelMetadata_FullMethodName: true, inferencepb.GRPCInferenceService_ModelConfig_FullMethodName: true,
	inferencepb.GRPCInferenceService_ModelStatistics_FullMethodName: true,
}

func (g gate) unary(ctx context.Context, q any, call *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	begun := time.Now()
	md, _ := metadata.FromIncomingContext(ctx)
	info := &serve.Info{ID: serve.RequestID(first(md, "x-request-id"))}
	ctx = serve.WithInfo(ctx, info)
	_ = grpc.SetHeader(ctx, metadata.Pairs("x-request-id", info.ID))
	var answer any
	err := g.admit(call.FullMethod, md)
	if err == nil {
		err = g.run(ctx, call.FullMethod, func() (err error) {
			answer, err = handler(ctx, q)
			return err
		})
	}
	record := serve.Record{API: "oip-grpc", Method: "CALL", Route: call.FullMethod, Status: 200, Took: time.Since(begun), Light: open[call.FullMethod] || light[call.FullMethod]}
	if err == nil {
		g.server.Done(info, record)
		return answer, nil
	}
	e := serve.AsError(err)
	record.Status, record.Code = e.Status, e.Code
	g.server.Done(info, record)
	if e.RetryAfter > 0 {
		_ = grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", strconv.FormatInt(e.RetryAfter.Milliseconds(), 10)))
	}
	return nil, status.Error(codeOf(e), e.Message)
}

// admit checks the key.
func (g gate) admit(method string, md metadata.MD) error {
	if open[method] {
		return nil
	}
	if refusal := g.server.Admit(map[string][]string{"Authorization": md.Get("authorization"), "X-Api-Key": md.Get("x-api-key")}); refusal != nil {
		return refusal
	}
	return nil
}

// run bounds and guards the call.
func (g gate) run(ctx context.Context, method string, call func() error) error {
	if !open[method] && !light[method] {
		leave, refusal := g.server.Enter()
		if refusal != nil {
			return refusal
		}
		defer leave()
	}
	return g.server.Guard(ctx, method, call)
}

// stream guards streams: reflection, which says no more than this package's
// sources, and health's Watch.
func (g gate) stream(srv any, s grpc.ServerStream, call *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return g.server.Guard(s.Context(), call.FullMethod, func() error { return handler(srv, s) })
}

func first(md metadata.MD, key string) string {
	if v := md.Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}

// codeOf is gRPC's code of an error.
func codeOf(e *serve.Error) codes.Code {
	switch {
	case e.Code == serve.CodeTooSlow:
		return codes.DeadlineExceeded
	case e.Status == 401:
		return codes.Unauthenticated
	case e.Status == 403:
		return codes.PermissionDenied
	case e.Status == 404:
		return codes.NotFound
	case e.Status == 429:
		return codes.ResourceExhausted
	case e.Status == serve.StatusClientGone:
		return codes.Canceled
	case e.Status == 503:
		return codes.Unavailable
	case e.Status < 500:
		return codes.InvalidArgument
	}
	return codes.Internal
}

// properties are a privacy statement as ModelMetadata has it.
func properties(s serve.Statement) map[string]string {
	p := map[string]string{"privacy": s.Kind, "privacy.statement": s.Text}
	for name, v := range map[string]*float64{"privacy.epsilon": s.Epsilon, "privacy.delta": s.Delta} {
		if v != nil {
			p[name] = strconv.FormatFloat(*v, 'g', -1, 64)
		}
	}
	for name, v := range map[string]string{"privacy.unit": s.Unit, "privacy.relation": s.Relation, "privacy.accountant": s.Accountant, "privacy.not_private": s.NotPrivate} {
		if v != "" {
			p[name] = strings.ToValidUTF8(v, "\uFFFD")
		}
	}
	return p
}
