package main

import "math"

// A setting is what a step costs are computed from. Rates are those of one rank.
type setting struct {
	Batch, Tokens, Microbatch float64 // records of a step, tokens of each, records of a run

	FLOPS   float64 // of a whole private step, 6 operations a parameter and token counted as work
	Add     float64 // trained numbers a second that a microbatch's sum adds to the step's
	Noise   float64 // trained numbers a second that noise and optimizer take
	Local   float64 // bytes a second of a vector that the collectives copy and add in memory
	Network float64 // bytes a second of the network, each way
	Latency float64 // seconds of a message
	Piece   float64 // bytes of the buffer that vectors travel through, or
	Block   float64 // bytes of it for each rank, if that is more
}

// A cost is what one step of a model takes on some ranks, in seconds; nothing is overlapped.
type cost struct {
	Compute, Add, Noise, Network, Local, Latency float64
	Bytes                                        float64 // that each rank sends
	Memory                                       float64 // bytes that each rank holds beside a microbatch
}

// Bytes of a trained number: its sum in int64, its weight in float32, both once; 16 = weight 4, microbatch's sum 4,
// step's sum 8; Adam's moments 8.
const (
	sumBytes, weightBytes = 8, 4
	heldBytes             = 16
	momentBytes           = 8
)

// costOf is the cost of a step of a model with p parameters, all trained, on k ranks:
//
//	n = ceil(ceil(B/m)/k)                       microbatches of the busiest rank
//	compute = n m T 6p / FLOPS,  add = n p / Add,  noise = p / (k Noise)
//	network = (8+4) p (k-1)/k / Network         reduce-scatter of int64, all-gather of float32
//	local   = (8+4) p / Local
//	latency = (ceil(8p/buffer) + ceil(4p/buffer)) (k-1) Latency,  buffer = max(Piece, k Block)
func (s setting) costOf(p, k float64) cost {
	n := math.Ceil(math.Ceil(s.Batch/s.Microbatch) / k)
	buffer := max(s.Piece, k*s.Block)
	c := cost{
		Compute: n * s.Microbatch * s.Tokens * 6 * p / s.FLOPS,
		Add:     n * p / s.Add,
		Noise:   p / (k * s.Noise),
		Bytes:   (sumBytes + weightBytes) * p * (k - 1) / k,
		Latency: (math.Ceil(sumBytes*p/buffer) + math.Ceil(weightBytes*p/buffer)) * (k - 1) * s.Latency,
		Memory:  heldBytes*p + momentBytes*p/k,
	}
	c.Network = c.Bytes / s.Network
	if k > 1 {
		c.Local = (sumBytes + weightBytes) * p / s.Local
	}
	return c
}

// communication is what the ranks spend on each other.
func (c cost) communication() float64 { return c.Network + c.Local + c.Latency }

// total is the time of the step.
func (c cost) total() float64 { return c.Compute + c.Add + c.Noise + c.communication() }

// tokensFor is how many tokens each rank needs in a step so that the network takes a share of the computing:
//
//	12 p/Network <= share 6 p tokens/FLOPS,  tokens >= 2 FLOPS/(share Network),
//
// whatever the model's size.
func (s setting) tokensFor(share float64) float64 { return 2 * s.FLOPS / (share * s.Network) }
