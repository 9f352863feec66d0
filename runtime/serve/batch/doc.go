// Package batch joins what several callers want computed at the same time into
// one computation, and splits the result. It knows nothing of models: a
// computation is a function of a list of values.
//
// A batch is made of the caller that has waited longest and of others with the
// same key that fit, the nearest in length first: longest length × (rows + 1) within the budget of
// tokens, and not more made-up tokens, which fill the shorter rows, than
// Options.Padding allows. While all workers are busy, callers gather; so a batch is the
// larger the higher the load, and Options.Delay only matters when there is none.
//
// A caller that goes away while it waits is taken out; when all callers of a
// running batch have gone its context ends. When a batch of several fails, each
// is computed alone, so that one caller's bad values are its own failure, in
// words that quote nobody else's.
package batch
