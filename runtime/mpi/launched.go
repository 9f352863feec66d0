package mpi

import (
	"errors"
	"os"
	"strconv"
)

// launcherSizes are the variables by which launchers say how many processes they started: Open MPI's mpirun, other
// MPIs' (and PMI-2 in general), and a Slurm job step.
var launcherSizes = []string{"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}

// Launched is the number of processes that a launcher such as mpirun says it has started, this one included, and the
// variable that says so; 1 and "" for a program that was started alone.
func Launched() (size int, variable string) {
	for _, name := range launcherSizes {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
			return n, name
		}
	}
	return 1, ""
}

// ErrNotBuilt is returned by Open where the program was built without MPI.
var ErrNotBuilt = errors.New("this ghostwriter was built without MPI: build it with `make mpi`, which needs Open MPI (apt-get install libopenmpi-dev openmpi-bin)")
