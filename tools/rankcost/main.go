// Command rankcost prints what a private step costs on several ranks: what is computed against what is sent, by number of
// ranks, size of the model and network. docs/distributed.md has its output and says where the rates come from:
//
//	go run ./tools/rankcost
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "rankcost:", err)
		os.Exit(2)
	}
}

var (
	ranks = []float64{8, 64, 512}
	sizes = []float64{0.1e9, 0.35e9, 1e9, 7e9, 70e9}
)

// A machine is one rank's hardware with its network.
type machine struct {
	name string
	setting
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("rankcost", flag.ContinueOnError)
	var (
		core  = flags.Float64("core-gflops", 80, "GFLOP/s of a core in a private step: three quarters of what it was measured to reach in products (bench: dp, GFLOP/s over cores)")
		add   = flags.Float64("add", 97, "measured: million numbers a second and core that are added to the step's sum")
		noise = flags.Float64("noise", 14, "measured: million numbers a second and core of noise and Adam")
		local = flags.Float64("local", 1.75, "measured: GB/s of sums and weights through the collectives in shared memory, two ranks")
		cores = flags.Float64("cores", 32, "assumed: cores of a rank without a GPU")
		gpu   = flags.Float64("gpu-tflops", 100, "assumed: TFLOP/s of a GPU in a private step")
		delay = flags.Float64("latency", 5, "assumed: microseconds of a message")
		batch = flags.Float64("batch", 4096, "records of a step")
		token = flags.Float64("tokens", 128, "tokens of a record")
		micro = flags.Float64("microbatch", 8, "records of a run")
		cardM = flags.Float64("gpu-microbatch", 64, "records of a run on a GPU")
	)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if min(*core, *add, *noise, *local, *cores, *gpu, *micro, *cardM) <= 0 {
		return errors.New("rates and microbatches must be positive")
	}
	base := setting{Batch: *batch, Tokens: *token, Microbatch: *micro, Local: *local * 1e9, Latency: *delay * 1e-6,
		FLOPS: *core * *cores * 1e9, Add: *add * *cores * 1e6, Noise: *noise * *cores * 1e6, Piece: 1 << 20, Block: 256 << 10}
	var list []machine
	for _, gbit := range []float64{10, 100, 400} {
		cpu := machine{fmt.Sprintf("%g cores, %g Gb/s", *cores, gbit), base}
		cpu.Network = gbit / 8 * 1e9
		card := machine{fmt.Sprintf("a GPU of %g TFLOP/s, %g Gb/s", *gpu, gbit), cpu.setting}
		card.FLOPS, card.Microbatch = *gpu*1e12, *cardM
		list = append(list, cpu, card)
	}
	for _, m := range list {
		m.table(out)
	}
	return nil
}

// table prints a machine's table: seconds computing and communicating, and the share of the latter.
func (m machine) table(out io.Writer) {
	fmt.Fprintf(out, "**%s.** For 10 %% on the network a rank needs %s tokens a step.\n\n", m.name, count(m.tokensFor(0.1)))
	head, line := "| parameters |", "|---|"
	for _, k := range ranks {
		head += fmt.Sprintf(" %g ranks: computing, sending | share |", k)
		line += "---|---|"
	}
	fmt.Fprintln(out, head+"\n"+line)
	for _, p := range sizes {
		row := "| " + count(p) + " |"
		for _, k := range ranks {
			c := m.costOf(p, k)
			row += fmt.Sprintf(" %s, %s | %.0f %% |", seconds(c.Compute+c.Add+c.Noise), seconds(c.communication()), 100*c.communication()/c.total())
		}
		fmt.Fprintln(out, row)
	}
	fmt.Fprintln(out)
}

// count writes a number with a letter for its size.
func count(x float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, " G"}, {1e6, " M"}, {1e3, " k"}} {
		if x >= 0.1*unit.size && unit.size >= 1e9 || x >= unit.size {
			return strings.TrimSuffix(fmt.Sprintf("%.3g", x/unit.size), ".0") + unit.name
		}
	}
	return fmt.Sprintf("%.0f", x)
}

// seconds writes a time with three digits.
func seconds(t float64) string {
	switch {
	case t >= 3600:
		return fmt.Sprintf("%.3g h", t/3600)
	case t >= 300:
		return fmt.Sprintf("%.3g min", t/60)
	case t >= 1:
		return fmt.Sprintf("%.3g s", t)
	}
	return fmt.Sprintf("%.3g ms", t*1e3)
}
