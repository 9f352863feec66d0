package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// Many requests share one model: each submits its prompt and reads its stream.
func ExampleModel_NewEngine() {
	m, err := runtime.Open("../testdata/demo/pretrained", runtime.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	e, err := m.NewEngine(runtime.EngineOptions{MaxSequences: 8, MaxTokens: 4096})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close(context.Background())

	stream, err := e.Submit(context.Background(), []int32{5, 6, 7}, runtime.GenerateOptions{MaxNewTokens: 3, EOS: []int64{}})
	if err != nil {
		log.Fatal(err) // errors.Is(err, runtime.ErrBusy): the queue is full
	}
	for {
		token, err := stream.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(token.Finish)
	}
	// Output:
	//
	// length
}
