// Matrix writes docs/compatibility.md from the results of .ci/matrix:
//
//	matrix DIRECTORY RELEASE...
//
// The directory has one of its own for each release, with the files versions
// ("NAME VERSION" lines, and "run TIME", when the run began that the results are
// of), scenarios.txt (the output of compare) and e2e.txt (that of the end-to-end
// tests with -test.v); beside them may be upgrade.txt, of .ci/upgrade. The page
// goes to standard output.
//
// # Failure policy
//
// A release without results is a column of dashes: what did not run is never
// shown as good. Results of several runs or commits are shown as such.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: matrix DIRECTORY RELEASE...")
		os.Exit(2)
	}
	var columns []*results
	for _, release := range os.Args[2:] {
		r, err := read(filepath.Join(os.Args[1], release), release)
		if err != nil {
			fmt.Fprintln(os.Stderr, "matrix:", err)
			os.Exit(1)
		}
		columns = append(columns, r)
	}
	up, err := upgrade(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		os.Exit(1)
	}
	fmt.Print(page(columns) + up + others)
}

// upgrade is the section about what .ci/upgrade left.
func upgrade(dir string) (string, error) {
	verdict, what := "", ""
	err := eachLine(filepath.Join(dir, "upgrade.txt"), func(line string) {
		if rest, ok := strings.CutPrefix(line, "--- "); ok {
			verdict, _, _ = strings.Cut(rest, ":")
		}
		if _, rest, ok := strings.Cut(line, "upgrade_test.go:"); ok && strings.Contains(line, " became ") {
			_, what, _ = strings.Cut(rest, ": ")
		}
	})
	switch {
	case err != nil || verdict == "":
		return "", err
	case verdict == "PASS":
		verdict = "passed"
	default:
		verdict = "**failed**"
	}
	return "\n## Upgrade of Postfix under a running daemon\n\n" +
		"In one root, with the daemon at work, one release's packages replace the other's (TestPostfixUpgrade): " +
		verdict + "; " + what + ".\n", nil
}

// results are those of one release.
type results struct {
	release  string
	versions map[string]string
	areas    map[string]*area  // of scenarios
	tests    map[string]string // name of an end-to-end test to PASS, FAIL or SKIP
}

// area counts the scenarios of one subject.
type area struct{ same, documented, different int }

func read(dir, release string) (*results, error) {
	r := &results{release: release, versions: map[string]string{}, areas: map[string]*area{}, tests: map[string]string{}}
	return r, errors.Join(
		eachLine(filepath.Join(dir, "versions"), r.version),
		eachLine(filepath.Join(dir, "scenarios.txt"), r.scenario),
		eachLine(filepath.Join(dir, "e2e.txt"), r.test))
}

// eachLine calls do for the lines of a file. One that is not there has none.
func eachLine(path string, do func(string)) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		do(s.Text())
	}
	return s.Err()
}

func (r *results) version(line string) {
	name, version, _ := strings.Cut(line, " ")
	r.versions[name] = version
}

// scenario reads "NAME: server same, log same, …".
func (r *results) scenario(line string) {
	name, verdicts, ok := strings.Cut(line, ": ")
	broken := strings.HasPrefix(verdicts, "CANNOT RUN")
	if !ok || !isName(name) || !strings.HasPrefix(verdicts, "server ") && !broken {
		return
	}
	subject, _, _ := strings.Cut(name, "-")
	a := r.areas[subject]
	if a == nil {
		a = new(area)
		r.areas[subject] = a
	}
	switch {
	case broken || strings.Contains(verdicts, "DIFFERENT") || strings.Contains(verdicts, "STALE"):
		a.different++
	case strings.Contains(verdicts, "documented"):
		a.documented++
	default:
		a.same++
	}
}

func isName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9')
	})
}

// test reads "--- PASS: TestX (1.00s)"; sub-tests are indented.
func (r *results) test(line string) {
	rest, ok := strings.CutPrefix(line, "--- ")
	if !ok {
		return
	}
	verdict, rest, _ := strings.Cut(rest, ": ")
	name, _, _ := strings.Cut(rest, " ")
	r.tests[strings.TrimPrefix(name, "Test")] = verdict
}

const introduction = `# Compatibility

This page is written by ` + "`make matrix`" + `: do not edit it. The static binary of the tree ran inside the root
of each of Debian's releases, on that release's own Postfix, with its Dovecot and Cyrus as destinations. For
the releases of Postfix that Debian does not have see [below](#other-releases-of-postfix).

`

// others is about what this run does not reach.
const others = `
## Other releases of Postfix

No release of Debian has Postfix 3.6, 3.8, 3.9 or 3.12. Once, in November 2026, 3.6.20, 3.8.20, 3.9.14 and
3.12-20260821 were built from their sources, and the same scenarios and end-to-end tests ran on them: no
scenario differed in a way that is not documented (38 of 765 do not apply to 3.6), and all end-to-end tests
passed, but for that of log analysers on 3.12, where their programs were missing. What those four and Debian's four
say on their internal sockets was recorded then (testdata/wire); TestRecorded of internal/lab holds our side and the
stand-ins to the record in every run of the tests, and TestExchanges above compares with the installed release.
`

// origin says whether the columns are of one run of one commit.
func origin(columns []*results) string {
	var all []string
	for _, r := range columns {
		if len(r.areas)+len(r.tests) > 0 {
			all = append(all, r.versions["postlmtp"]+" of "+r.versions["run"])
		}
	}
	slices.Sort(all)
	if all = slices.Compact(all); len(all) == 1 {
		return "All columns are of one run.\n\n"
	}
	return "**The columns are of several runs**: \"postlmtp\" is the commit that a column is about, \"run\" when its run began (UTC).\n\n"
}

func page(columns []*results) string {
	var b strings.Builder
	b.WriteString(introduction)
	b.WriteString(origin(columns))
	table(&b, "", columns, []string{"postfix", "dovecot", "cyrus", "postlmtp", "run"}, func(r *results, name string) string { return r.versions[name] })

	b.WriteString("\n## Scenarios\n\n" +
		"Each scenario is run with the release's own lmtp(8) and with ours, and all that can be seen of them is\n" +
		"compared: the dialog, the log, the reports, the status, the queue file, the processes. The number of those\n" +
		"that are the same; after +, of those that differ as [differences](differences.md) says, or as their files\n" +
		"say for that release; **in bold** of those that differ in another way, or in which Postfix's does not do what\n" +
		"the files say of its release.\n\n")
	table(&b, "scenarios about", columns, names(columns, func(r *results) []string { return keys(r.areas) }),
		func(r *results, name string) string {
			a := r.areas[name]
			if a == nil {
				return ""
			}
			text := fmt.Sprint(a.same)
			if a.documented > 0 {
				text += fmt.Sprintf(" + %d", a.documented)
			}
			if a.different > 0 {
				text += fmt.Sprintf(", **%d different**", a.different)
			}
			return text
		})

	b.WriteString("\n## End to end\n\n" +
		"A private instance of the release's Postfix delivers real mail by our daemon (internal/e2e).\n\n")
	table(&b, "test", columns, names(columns, func(r *results) []string { return keys(r.tests) }),
		func(r *results, name string) string {
			switch r.tests[name] {
			case "PASS":
				return "passed"
			case "FAIL":
				return "**failed**"
			case "SKIP":
				return "not run"
			}
			return ""
		})
	return b.String()
}

// table writes a table with a column for each release.
func table(b *strings.Builder, head string, columns []*results, rows []string, cell func(*results, string) string) {
	line := []string{head}
	for _, r := range columns {
		line = append(line, r.release)
	}
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(line, " | "), strings.Repeat("---|", len(line)))
	for _, row := range rows {
		line = []string{row}
		for _, r := range columns {
			text := cell(r, row)
			if text == "" {
				text = "–"
			}
			line = append(line, text)
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(line, " | "))
	}
}

func keys[V any](m map[string]V) []string {
	var list []string
	for k := range m {
		list = append(list, k)
	}
	return list
}

// names are the names of rows, of all releases together.
func names(columns []*results, of func(*results) []string) []string {
	var list []string
	for _, r := range columns {
		list = append(list, of(r)...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}
