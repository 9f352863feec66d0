package main

import (
	"github.com/spf13/pflag"

	"github.com/ghostwriter-dp/ghostwriter/ghost"
	"github.com/ghostwriter-dp/ghostwriter/runtime"
)

// A groupReport is a set of parameters that are clipped by a norm of their own.
type groupReport struct {
	Name        string   `json:"name"`
	Parameters  []string `json:"parameters"`
	Coordinates int64    `json:"coordinates"`
	Share       float64  `json:"share"`
	ClipNorm    float64  `json:"clip_norm"`
	Norm        numbers  `json:"norm,omitempty"`
	Factor      numbers  `json:"factor,omitempty"`
}

// groupFlags binds the flags of clipping by groups.
func groupFlags(fl *pflag.FlagSet, per, shares *string) {
	fl.StringVar(per, "clip-per", "", "clip every layer or parameter by a norm of its own, to its share of C: layer, parameter")
	fl.StringVar(shares, "clip-shares", "", "of --clip-per: equal, or size: in proportion to the root of the number of coordinates (default equal)")
}

// groupReports are groups without norms, their shares of the clipping norm c.
func groupReports(groups []ghost.Group, c float64) []groupReport {
	var out []groupReport
	for _, g := range groups {
		out = append(out, groupReport{Name: g.Name, Parameters: g.Parameters, Coordinates: g.Coordinates, Share: g.Share, ClipNorm: g.Share * c})
	}
	return out
}

// groupNorms are groups with the norms and factors of a batch.
func groupNorms(groups []runtime.GroupNorms) []groupReport {
	var out []groupReport
	for _, g := range groups {
		out = append(out, groupReport{g.Name, g.Parameters, g.Coordinates, g.Share, g.ClipNorm, g.Norm, g.Factor})
	}
	return out
}

// groupsText prints norms and factors by record and group.
func (a *app) groupsText(r *runtime.GradNorms) {
	a.printf("%6s %14s  %-40s %14s %14s %14s\n", "record", "loss", "group", "norm", "clipped to", "factor")
	for i := range r.Loss {
		a.printf("%6d %14.7g  %-40s %14.7g\n", i, r.Loss[i], "all", r.Norm[i])
		for _, g := range r.Groups {
			a.printf("%6s %14s  %-40s %14.7g %14.7g %14.7g\n", "", "", g.Name, g.Norm[i], g.ClipNorm, g.Factor[i])
		}
	}
}
