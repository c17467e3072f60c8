// Command watched stands in the place of the daemon and becomes the one that
// was built with the race detector. That one has an environment which master(8)
// made, so that the detector's settings must be put there at the last moment.
//
// A race is written to a file of its own and changes nothing else: not the exit
// status, on which master(8) and the daemon's parent process depend, nor how
// long an exit takes. The daemon's sandbox is switched off, because the file
// could not be made inside. It works with four threads, however few the machine
// would have it use: the more happens at once, the more there is to see.
package main

import (
	"fmt"
	"os"
	"slices"
	"syscall"
)

// Set by the linker.
var (
	program string // what to become
	reports string // the beginning of the names of the files
)

func main() {
	env := append(os.Environ(), "GOMAXPROCS=4", "GORACE=log_path="+reports+" exitcode=0 atexit_sleep_ms=0")
	argv := slices.Insert(os.Args, 1, "-o", "postlmtp_sandbox=no")
	err := syscall.Exec(program, argv, env)
	fmt.Fprintf(os.Stderr, "run %s: %v\n", program, err)
	os.Exit(1)
}
