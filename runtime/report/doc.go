// Package report draws what runs and sweeps gave, and puts it on one HTML page.
//
// A page holds what a run's release/ holds, what its ledger proves and how it was
// configured; everything that it needs is in the file. Values of debug/, which
// epsilon does not cover, are only on a page that says so at its top, and which
// belongs into debug/ itself.
package report
