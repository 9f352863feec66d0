package tokenize

import (
	"context"
	"fmt"
	"runtime"
	"sync"
)

// EncodeBatch encodes texts in parallel, workers at a time (0: as many as there are processors); row i of the result
// is Encode(texts[i]). It stops at the first error, which names the row (from 0), or when ctx is done.
func (t *Tokenizer) EncodeBatch(ctx context.Context, texts []string, workers int) ([][]int32, error) {
	out, err := Map(ctx, texts, workers, t.Encode)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("text %d: %w", len(out), err)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Map calls do for every row, workers at a time (0: as many as there are processors), and gives the results in the rows'
// order. At an error, do's first in that order or that of a context that is done, it gives the results before it too,
// so that len of them is the row that failed (from 0).
func Map[Row, Result any](ctx context.Context, rows []Row, workers int, do func(Row) (Result, error)) ([]Result, error) {
	out := make([]Result, len(rows))
	failed, err := parallel(ctx, len(rows), workers, func(i int) (err error) {
		out[i], err = do(rows[i])
		return err
	})
	return out[:failed], err
}

// rowsPerTask is how many rows a worker takes at a time at most: enough to make the hand-over cheap.
const rowsPerTask = 256

// parallel calls do(0) to do(n-1) from several workers. Of several errors the one with the smallest index is returned,
// so that the message does not depend on timing, with that index; without an error the index is n, or 0 when ctx ended
// it.
func parallel(ctx context.Context, n, workers int, do func(i int) error) (int, error) {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	chunk := max(1, min(rowsPerTask, n/(4*workers)))
	var (
		mu      sync.Mutex
		next    int
		failed  = n
		failure error
		group   sync.WaitGroup
	)
	take := func() (start, end int) {
		mu.Lock()
		defer mu.Unlock()
		start = next
		if failed < n && start > failed {
			start = n // rows before a failure are still done, rows after it are not
		}
		end = min(start+chunk, n)
		next = end
		return start, end
	}
	work := func() {
		for ctx.Err() == nil {
			start, end := take()
			if start >= end {
				return
			}
			for i := start; i < end; i++ {
				if err := do(i); err != nil {
					mu.Lock()
					if i < failed {
						failed, failure = i, err
					}
					mu.Unlock()
					break
				}
			}
		}
	}
	for range min(workers, (n+chunk-1)/chunk) {
		group.Go(work)
	}
	group.Wait()
	if failure == nil && ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return failed, failure
}
