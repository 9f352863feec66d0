// Command quickstart fine-tunes a model privately and serves it: the README's program.
package main

import (
	"context"
	"log"
	"net"
	"os"
	"os/signal"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve/openai"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	tuned, err := runtime.Finetune(ctx, runtime.FinetuneOptions{
		Model: "testdata/demo/pretrained", Task: "e2e", Train: "testdata/demo/private-train.csv", Out: "out/tuned",
		Records: 4500, ExpectedBatch: 256, Steps: 60, LearningRate: 2e-3, Schedule: "linear", TargetEpsilon: 8})
	check(err)
	log.Printf("epsilon %.2f at delta %.1e", tuned.Epsilon, tuned.Delta)
	repo, err := serve.OpenRepository(ctx, "", serve.RepositoryOptions{Models: map[string]string{"clinic": tuned.Out}})
	check(err)
	server := serve.New(repo, serve.Options{})
	check(server.Mount(openai.New(server)))
	listener, err := net.Listen("tcp", "127.0.0.1:8080")
	check(err)
	check(server.Run(ctx, serve.Listening{Listener: listener, Endpoint: server.HTTP()}))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
