// Command lmtp is the LMTP delivery agent of postlmtp: a daemon that master(8)
// of Postfix starts from a line in master.cf, in place of Postfix's own lmtp(8).
// It is not run by hand; postlmtp(1) is the tool for people.
package main

import (
	"os"

	"postlmtp/internal/agent"
)

// version is set by the linker.
var version = "unknown"

func main() {
	os.Exit(agent.Main(os.Args, os.Environ(), version))
}
