package main

import (
	"math"
	"strings"
	"testing"
)

var example = setting{Batch: 100, Tokens: 10, Microbatch: 8, FLOPS: 1e12, Add: 1e9, Noise: 1e8, Local: 2e9, Network: 1e9, Latency: 1e-5, Piece: 1e6, Block: 1e4}

// By hand: 13 microbatches, 4 for the busiest of 4 ranks.
func TestCostByHand(t *testing.T) {
	c := example.costOf(1e7, 4)
	for name, v := range map[string][2]float64{
		"computing": {c.Compute, 4 * 8 * 10 * 6e7 / 1e12}, "adding": {c.Add, 4 * 1e7 / 1e9}, "noise": {c.Noise, 1e7 / 4e8},
		"bytes": {c.Bytes, 12 * 1e7 * 3 / 4}, "network": {c.Network, 0.09}, "memory traffic": {c.Local, 0.06},
		"latency": {c.Latency, (80 + 40) * 3 * 1e-5}, "memory": {c.Memory, 16e7 + 2e7},
	} {
		if math.Abs(v[0]-v[1]) > 1e-12*v[1] {
			t.Errorf("%s: %g, want %g", name, v[0], v[1])
		}
	}
	if one := example.costOf(1e7, 1); one.communication() != 0 || one.Memory != 24e7 {
		t.Errorf("one rank communicates: %+v", one)
	}
}

// With as many tokens as it says, the network takes the share that it says, whatever the model's size.
func TestTokensFor(t *testing.T) {
	for _, p := range sizes {
		s := example
		s.Microbatch, s.Tokens = 1, 1
		s.Batch = s.tokensFor(0.1) * 512
		c := s.costOf(p, 512)
		if share := c.Network / c.Compute; share > 0.1 || share < 0.099 {
			t.Errorf("%g parameters: the network takes %g of computing", p, share)
		}
	}
}

func TestTables(t *testing.T) {
	var out strings.Builder
	if err := run([]string{"-core-gflops", "50", "-add", "500", "-noise", "50", "-local", "2"}, &out); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n| 70 G |"); n != 6 || strings.Contains(out.String(), "NaN") || strings.Contains(out.String(), "Inf") {
		t.Errorf("%d tables:\n%s", n, out.String())
	}
	if err := run([]string{"-cores", "x"}, &out); err == nil {
		t.Error("a bad flag passed")
	}
}
