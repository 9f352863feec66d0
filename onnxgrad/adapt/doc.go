// Package adapt adds trainable parameters to a graph in canonical form: low-rank updates
// of weights, and prefixes of attention. What it adds is made of ordinary nodes, so that
// whatever differentiates the graph needs to know nothing of it.
package adapt
