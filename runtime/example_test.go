package runtime_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

// A small GPT-2 with its tokenizer, which knows tables of invented places.
const exampleModel = "../testdata/demo/pretrained"

func ExampleOpen() {
	model, err := runtime.Open(exampleModel, runtime.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	inputs, outputs, err := model.Signature()
	if err != nil {
		log.Fatal(err)
	}
	for _, in := range inputs {
		fmt.Println(in.Name, in.DType, in.Dims)
	}
	fmt.Println(outputs[0].Name, outputs[0].DType, outputs[0].Dims)
	// Output:
	// input_ids int64 [-1 -1]
	// attention_mask int64 [-1 -1]
	// logits float32 [-1 -1 768]
}

func ExampleModel_Run() {
	model, err := runtime.Open(exampleModel, runtime.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	ids, err := ort.NewTensor([]int64{2, 3}, []int64{5, 6, 7, 8, 9, 10})
	if err != nil {
		log.Fatal(err)
	}
	mask, err := ort.NewTensor([]int64{2, 3}, []int64{1, 1, 1, 1, 1, 1})
	if err != nil {
		log.Fatal(err)
	}
	out, err := model.Run(context.Background(), map[string]*ort.Tensor{"input_ids": ids, "attention_mask": mask})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(out["logits"])
	// Output: float32[2 3 768]
}

func ExampleModel_Continue() {
	model, err := runtime.Open(exampleModel, runtime.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	tokenizer, err := model.Tokenizer()
	if err != nil {
		log.Fatal(err)
	}
	prompt, err := tokenizer.Encode(" name : Wourow | type : guide | writer : Cloudow | pages : 310 | year : 1996 <|endoftext|>")
	if err != nil {
		log.Fatal(err)
	}
	all, err := model.Continue(context.Background(), [][]int32{prompt}, runtime.GenerateOptions{MaxNewTokens: 40, Beams: 4})
	if err != nil {
		log.Fatal(err)
	}
	best := all[0][0]
	fmt.Println(best.Text, best.Finish)
	// Output: Cloudow wrote Wourow, a guide of 310 pages, in 1996.  stop
}

// A small BERT that sorts letters to a clinic.
func ExampleModel_Classify() {
	model, err := runtime.Open("../testdata/demo/feedback", runtime.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	letters := []runtime.TextPair{{Text: "The nurse was kind and patient."}, {Text: "May I move my appointment?"}}
	classes, err := model.Classify(context.Background(), letters, runtime.ClassifyOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range classes {
		best := c.Best()
		fmt.Printf("%s %.2f\n", c.Labels[best], c.Scores[best])
	}
	// Output:
	// praise 0.99
	// question 0.98
}

// A run of two steps; a real one says TargetEpsilon and Epochs, and takes its time.
func ExampleFinetune() {
	dir, err := os.MkdirTemp("", "ghostwriter-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	result, err := runtime.Finetune(context.Background(), runtime.FinetuneOptions{
		Model: exampleModel, Task: "e2e", Train: "../testdata/demo/private-train.csv", Out: filepath.Join(dir, "tuned"),
		Records: 4500, ExpectedBatch: 8, Steps: 2, TargetEpsilon: 8, Accountant: "rdp",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Steps, "steps, epsilon at most 8:", result.Epsilon <= 8)
	model, err := runtime.Open(result.Out, runtime.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	fmt.Println(filepath.Base(model.File().Path))
	// Output:
	// 2 steps, epsilon at most 8: true
	// model.onnx
}

// Progress watches a run: every call comes from one goroutine.
type Progress struct{ steps int }

func (p *Progress) Begin(b runtime.Begin) { fmt.Println("planned:", b.Steps, "steps") }
func (p *Progress) Step(runtime.StepReport) {
	p.steps++
}
func (p *Progress) Message(string) {}

func ExampleProgress() {
	dir, err := os.MkdirTemp("", "ghostwriter-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var watch Progress
	_, err = runtime.Finetune(context.Background(), runtime.FinetuneOptions{
		Model: exampleModel, Task: "e2e", Train: "../testdata/demo/private-train.csv", Out: filepath.Join(dir, "tuned"),
		Records: 4500, ExpectedBatch: 4, Steps: 1, TargetEpsilon: 8, Accountant: "rdp", Progress: &watch,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("taken:", watch.steps)
	// Output:
	// planned: 1 steps
	// taken: 1
}
