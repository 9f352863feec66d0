package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ghostwriter-dp/ghostwriter/runtime"
	"github.com/ghostwriter-dp/ghostwriter/runtime/mpi"
)

// severalVerbs are what may be started as several processes; only train then is one run.
var severalVerbs = map[string]bool{"train": true, "version": true, "help": true}

// refuseSeveral refuses a verb that mpirun has started several times: each process would do the same.
func refuseSeveral(cmd *cobra.Command, _ []string) error {
	if n, variable := mpi.Launched(); n > 1 && !severalVerbs[cmd.Name()] {
		return fmt.Errorf("%w: %s runs in one process, and %d were started (%s); start it without mpirun or srun", errCommandLine, cmd.Name(), n, variable)
	}
	return nil
}

// openRanks joins the processes that mpirun has started; nil for a command that was started alone.
func (a *app) openRanks() (*mpi.World, error) {
	n, variable := mpi.Launched()
	if variable == "" {
		return nil, nil
	}
	world, err := mpi.Open()
	switch {
	case errors.Is(err, mpi.ErrNotBuilt) && n == 1:
		return nil, nil
	case errors.Is(err, mpi.ErrNotBuilt):
		return nil, fmt.Errorf("%w: %d processes were started (%s): %w", errCommandLine, n, variable, err)
	case err != nil:
		return nil, err
	}
	a.world = world
	if world.Size() != n {
		return nil, fmt.Errorf("%w: %d processes were started (%s), but MPI knows %d: with srun, choose the interface that Open MPI was built for, such as --mpi=pmix", errCommandLine, n, variable, world.Size())
	}
	return world, nil
}

// speaks reports whether this process writes to the terminal: of several, rank 0.
func (a *app) speaks() bool { return a.world == nil || a.world.Rank() == 0 }

// leaveRanks parts from the others. They all come here with the same result, except after an error that has put them
// out of step: then all are ended.
func (a *app) leaveRanks(err error, code int) error {
	if a.world == nil {
		return nil
	}
	if errors.Is(err, runtime.ErrRanks) {
		a.world.Abort(code)
	}
	return a.world.Close()
}
