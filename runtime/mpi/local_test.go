package mpi

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// comm is dpadam.Comm, which this package does not import.
type comm interface {
	Rank() int
	Size() int
	Broadcast(data []byte) error
	Exchange(mine []byte) ([][]byte, error)
	ReduceScatter(sums []int64, bounds []int) error
	ReduceScatterFloats(sums []float64, bounds []int) error
	AllGather(values []float32, bounds []int) error
}

// exercise runs every collective on one rank and checks what it leaves; the numbers of all ranks
// follow from the round.
func exercise(c comm, round int) error {
	size, rank := c.Size(), c.Rank()
	rng := rand.New(rand.NewPCG(uint64(round), 5))
	d := rng.IntN(3000) * (round % 3)
	if round == 1 {
		d = 600_000 // more than one piece
	}
	bounds := make([]int, size+1)
	for r := range size - 1 {
		bounds[r+1] = rng.IntN(d + 1)
	}
	bounds[size] = d
	slices.Sort(bounds)
	of := func(r, i int) int64 { return int64(r+1)*(int64(i)*0x1E3779B97F4A7C15) + int64(round) }
	ints, floats, values := make([]int64, d), make([]float64, d), make([]float32, d)
	for i := range d {
		ints[i], floats[i], values[i] = of(rank, i), float64(of(rank, i)>>40), float32(rank*1000+i%999)
	}
	err := errors.Join(c.ReduceScatter(ints, bounds), c.ReduceScatterFloats(floats, bounds), c.AllGather(values, bounds))
	for i := bounds[rank]; i < bounds[rank+1]; i++ {
		var sum int64
		var total float64
		for r := range size {
			sum += of(r, i)
			total += float64(of(r, i) >> 40)
		}
		if ints[i] != sum || floats[i] != total {
			return errors.New("a sum is wrong")
		}
	}
	for r := range size {
		for i := bounds[r]; i < bounds[r+1]; i++ {
			if values[i] != float32(r*1000+i%999) {
				return errors.New("a gathered value is wrong")
			}
		}
	}
	message := []byte(strings.Repeat(string(rune('a'+rank)), round%7))
	all, xerr := c.Exchange(message)
	for r, m := range all {
		if string(m) != strings.Repeat(string(rune('a'+r)), round%7) {
			return errors.New("an exchanged message is wrong")
		}
	}
	berr := c.Broadcast(message)
	if strings.Trim(string(message), "a") != "" {
		return errors.New("a broadcast is wrong")
	}
	return errors.Join(err, xerr, berr)
}

func TestLocal(t *testing.T) {
	for _, size := range []int{1, 2, 3, 8} {
		var all sync.WaitGroup
		for _, c := range NewLocal(size) {
			all.Go(func() {
				for round := range 20 {
					if err := exercise(c, round); err != nil {
						t.Errorf("rank %d of %d, round %d: %v", c.Rank(), size, round, err)
						c.Abort()
						return
					}
				}
			})
		}
		all.Wait()
	}
}

// Ranks that call different collectives, or with different lengths, get an error; when one leaves, the others do not
// wait for it.
func TestLocalRefuses(t *testing.T) {
	for name, f := range map[string]func(c *Local) error{
		"different collectives": func(c *Local) error {
			if c.Rank() == 1 {
				return c.Broadcast(nil)
			}
			_, err := c.Exchange(nil)
			return err
		},
		"different lengths": func(c *Local) error {
			_, err := c.Exchange(make([]byte, c.Rank()))
			return err
		},
		"one rank leaves": func(c *Local) error {
			if c.Rank() == 2 {
				c.Abort()
				return ErrAborted
			}
			return c.AllGather(make([]float32, 3), []int{0, 1, 2, 3})
		},
		"bounds": func(c *Local) error { return c.AllGather(make([]float32, 3), []int{0, 1, 2, 4}) },
	} {
		t.Run(name, func(t *testing.T) {
			var all sync.WaitGroup
			for _, c := range NewLocal(3) {
				all.Go(func() {
					if err := f(c); err == nil {
						t.Errorf("rank %d got no error", c.Rank())
					}
				})
			}
			all.Wait()
		})
	}
}
