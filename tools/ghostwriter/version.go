package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/ort"
)

type versionReport struct {
	Version   string      `json:"version"`
	Runtime   string      `json:"onnxruntime"`
	Library   string      `json:"library"`
	Providers []string    `json:"providers"`
	GPUs      []gpuReport `json:"gpus"`
	NoGPU     string      `json:"no_gpu,omitempty"`
}

// A gpuReport is a GPU that the driver lists; Problem says why --device can't name it.
type gpuReport struct {
	Device     string `json:"device"`
	Name       string `json:"name"`
	Bytes      int64  `json:"bytes"`
	Capability string `json:"capability"`
	Problem    string `json:"problem,omitempty"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the versions of the command and of the onnxruntime library it found",
		Example: "  ghostwriter version --json",
		RunE: func(*cobra.Command, []string) error {
			r := versionReport{Version: runtime.Version, Providers: []string{}}
			env, err := a.loadEnv()
			if err != nil {
				return err
			}
			r.Runtime, r.Library = env.Version(), env.Path()
			if r.Providers, err = env.Providers(); err != nil {
				return err
			}
			r.gpus(env)
			return a.print(r, func() {
				a.printf("ghostwriter %s\nonnxruntime %s (%s)\nproviders   %s\n", r.Version, r.Runtime, r.Library, strings.Join(r.Providers, ", "))
				a.printf("%s", r.gpuText())
			})
		},
	}
}

// loadEnv opens the library that --device would use.
func (a *app) loadEnv() (*ort.Env, error) {
	d, err := ort.ParseDevice(a.device)
	if err != nil {
		return nil, fmt.Errorf("%w: --device: %v", errCommandLine, err)
	}
	return ort.LoadFor(d, a.library)
}

// checkDevice refuses a --device that can't be used.
func (a *app) checkDevice() error {
	if a.device == "" || a.device == "cpu" {
		return nil
	}
	d, err := ort.ParseDevice(a.device)
	if err != nil {
		return fmt.Errorf("%w: --device: %v", errCommandLine, err)
	}
	env, err := ort.LoadFor(d, a.library)
	if err != nil {
		return err
	}
	return env.CheckDevice(d)
}

// gpus asks driver and library for GPUs.
func (r *versionReport) gpus(env *ort.Env) {
	r.GPUs = []gpuReport{}
	list, err := ort.GPUs()
	if err != nil {
		r.NoGPU = oneLine(err)
	}
	for _, g := range list {
		gpu := gpuReport{Device: g.Device.String(), Name: g.Name, Bytes: g.Bytes, Capability: g.Capability}
		if err := env.CheckDevice(g.Device); err != nil {
			gpu.Problem = oneLine(err)
		}
		r.GPUs = append(r.GPUs, gpu)
	}
}

func (r *versionReport) gpuText() string {
	if len(r.GPUs) == 0 {
		return strings.TrimRight("GPUs        none "+r.NoGPU, " ") + "\n"
	}
	var b strings.Builder
	for i, g := range r.GPUs {
		label := ""
		if i == 0 {
			label = "GPUs"
		}
		fmt.Fprintf(&b, "%-11s %s %s, %d MB, compute capability %s\n", label, g.Device, g.Name, g.Bytes>>20, g.Capability)
		if g.Problem != "" {
			fmt.Fprintf(&b, "%-11s %s\n", "", g.Problem)
		}
	}
	return b.String()
}
