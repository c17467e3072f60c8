// Command racy is a program with a data race; it says yes if it has seen the
// switch that a watched program gets.
package main

import (
	"os"
	"sync"
)

func main() {
	var all sync.WaitGroup
	n := 0
	for range 2 {
		all.Go(func() { n++ })
	}
	all.Wait()
	if n > 0 && len(os.Args) == 4 && os.Args[2] == "postlmtp_sandbox=no" && os.Args[3] == "word" {
		os.Stdout.WriteString("yes")
	}
}
