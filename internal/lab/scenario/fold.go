package scenario

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"
)

// longRun is the number of lines of the same form from which a run is folded.
const longRun = 24

var number = regexp.MustCompile(`[0-9]+`)

// foldRuns replaces long runs of lines that differ in their numbers only by the
// first and the last of them, and a line that stands for all others.
func foldRuns(text string) string {
	all := lines(text)
	var b strings.Builder
	for i := 0; i < len(all); {
		form := number.ReplaceAllString(all[i], "0")
		j := i + 1
		for j < len(all) && number.ReplaceAllString(all[j], "0") == form {
			j++
		}
		run := all[i:j]
		if len(run) >= longRun {
			sum := sha256.Sum256([]byte(strings.Join(run, "\n")))
			run = []string{run[0], fmt.Sprintf("... %d like it, sum of all %.4x", len(run)-2, sum), run[len(run)-1]}
		}
		for _, line := range run {
			b.WriteString(line + "\n")
		}
		i = j
	}
	return b.String()
}
