// Speaks to a Thalweg server by the generated client, and prints as JSON what it read: its health, the services that it
// tells of by reflection, the acknowledgements of a stream of pushes, and the answer to a read.
//
//	grpc_go -address 127.0.0.1:8765 [-key K] [-gzip] [-timeout 10s] [-pushes JSON] [-read JSON]
//
// -pushes is a list of thalweg.v1.PushRequest, -read one thalweg.v1.GetFeaturesRequest, both in the JSON form of
// protobuf (bytes in base64). What is not given is not asked. A call that fails stands in the output as `error`, with its
// code, message and reason; the program itself then still ends well.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"sort"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"thalweg.dev/doors/grpc_go/thalwegv1"
)

// failure is a gRPC status with what a program needs of its details.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Reason  string `json:"reason"`
}

// output is what is printed; what was not asked is left out.
type output struct {
	Health   string            `json:"health"`
	Services []string          `json:"services,omitempty"`
	Acks     []json.RawMessage `json:"acks,omitempty"`
	Answer   json.RawMessage   `json:"answer,omitempty"`
	Error    *failure          `json:"error,omitempty"`
}

func main() {
	address := flag.String("address", "127.0.0.1:8765", "host and port of the server")
	key := flag.String("key", "", "the API key")
	compress := flag.Bool("gzip", false, "send and take gzip")
	timeout := flag.Duration("timeout", 10*time.Second, "for all calls together")
	pushes := flag.String("pushes", "", "a list of PushRequest as JSON")
	read := flag.String("read", "", "a GetFeaturesRequest as JSON")
	flag.Parse()

	options := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if *compress {
		options = append(options, grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name)))
	}
	connection, err := grpc.NewClient(*address, options...)
	if err != nil {
		fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	if *key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+*key)
	}

	var out output
	if err := ask(ctx, connection, *pushes, *read, &out); err != nil {
		out.Error = failed(err)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(out); err != nil {
		fatal(err)
	}
}

func ask(ctx context.Context, connection *grpc.ClientConn, pushes, read string, out *output) error {
	health, err := grpc_health_v1.NewHealthClient(connection).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		return err
	}
	out.Health = health.Status.String()
	if out.Services, err = services(ctx, connection); err != nil {
		return err
	}
	if pushes != "" {
		if out.Acks, err = pushStream(ctx, connection, pushes); err != nil {
			return err
		}
	}
	if read == "" {
		return nil
	}
	var request thalwegv1.GetFeaturesRequest
	if err := protojson.Unmarshal([]byte(read), &request); err != nil {
		fatal(err)
	}
	answer, err := thalwegv1.NewFeaturesClient(connection).GetFeatures(ctx, &request)
	if err != nil {
		return err
	}
	out.Answer = asJSON(answer)
	return nil
}

// services asks for the names of all services by reflection, sorted.
func services(ctx context.Context, connection *grpc.ClientConn) ([]string, error) {
	stream, err := grpc_reflection_v1.NewServerReflectionClient(connection).ServerReflectionInfo(ctx)
	if err != nil {
		return nil, err
	}
	list := &grpc_reflection_v1.ServerReflectionRequest_ListServices{ListServices: "*"}
	if err := stream.Send(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: list}); err != nil {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	response, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, service := range response.GetListServicesResponse().GetService() {
		names = append(names, service.GetName())
	}
	sort.Strings(names)
	return names, nil
}

// pushStream sends all pushes without waiting, while it reads the acknowledgements.
func pushStream(ctx context.Context, connection *grpc.ClientConn, pushes string) ([]json.RawMessage, error) {
	var texts []json.RawMessage
	if err := json.Unmarshal([]byte(pushes), &texts); err != nil {
		fatal(err)
	}
	requests := make([]*thalwegv1.PushRequest, len(texts))
	for index, text := range texts {
		requests[index] = &thalwegv1.PushRequest{}
		if err := protojson.Unmarshal(text, requests[index]); err != nil {
			fatal(err)
		}
	}
	stream, err := thalwegv1.NewEventsClient(connection).PushStream(ctx)
	if err != nil {
		return nil, err
	}
	go func() {
		for _, request := range requests {
			// Where this fails, Recv says why.
			if stream.Send(request) != nil {
				return
			}
		}
		_ = stream.CloseSend()
	}()
	var acks []json.RawMessage
	for {
		ack, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return acks, nil
		}
		if err != nil {
			return acks, err
		}
		acks = append(acks, asJSON(ack))
	}
}

func asJSON(message proto.Message) json.RawMessage {
	text, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(message)
	if err != nil {
		fatal(err)
	}
	return text
}

func failed(err error) *failure {
	known := status.Convert(err)
	reason := ""
	for _, detail := range known.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			reason = info.GetReason()
		}
	}
	return &failure{Code: known.Code().String(), Message: known.Message(), Reason: reason}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
