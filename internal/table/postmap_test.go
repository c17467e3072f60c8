package table_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postlmtp/internal/lab/lacking"
	"postlmtp/internal/table"
)

// postfixTool returns the path of a program of Postfix. Without it the test
// ends.
func postfixTool(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
		if path := filepath.Join(dir, name); executable(path) {
			return path
		}
	}
	lacking.Stop(t, name)
	return ""
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}

// configDir makes the configuration of a Postfix that nobody runs.
func configDir(t *testing.T, lines ...string) string {
	t.Helper()
	dir := t.TempDir()
	text := "compatibility_level = 3.6\nmyhostname = host.example.com\n" + strings.Join(lines, "\n") + "\n"
	write(t, filepath.Join(dir, "main.cf"), text)
	write(t, filepath.Join(dir, "master.cf"), "")
	return dir
}

// write writes a file that was not changed just now: Postfix would wait before
// it reads one that was.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
}

// hasType reports whether the installed Postfix knows a type of table.
func hasType(t *testing.T, kind string) bool {
	t.Helper()
	out, err := exec.Command(postfixTool(t, "postconf"), "-m").Output()
	if err != nil {
		t.Fatalf("postconf -m: %v", err)
	}
	for known := range strings.FieldsSeq(string(out)) {
		if known == kind {
			return true
		}
	}
	lacking.Stop(t, "a postmap(1) that knows the type "+kind)
	return false
}

// postmap asks postmap(1) for keys, none of which may have a newline, and
// returns the values of those that it found, and its warnings.
func postmap(t *testing.T, spec string, keys []string, config ...string) (values map[string]string, warnings []string) {
	t.Helper()
	return startPostmap(t, spec, keys, config...)()
}

// startPostmap is postmap without the wait for the result: postmap(1) takes a
// second to give up.
func startPostmap(t *testing.T, spec string, keys []string, config ...string) func() (values map[string]string, warnings []string) {
	t.Helper()
	cmd := exec.Command(postfixTool(t, "postmap"), "-c", configDir(t, config...), "-q", "-", spec)
	cmd.Stdin = strings.NewReader(strings.Join(keys, "\n") + "\n")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() (values map[string]string, warnings []string) {
		t.Helper()
		if err := cmd.Wait(); err != nil && out.Len() == 0 && !strings.Contains(err.Error(), "exit status 1") {
			t.Fatalf("postmap -q - %s: %v\n%s", spec, err, errs.String())
		}
		values = make(map[string]string)
		for line := range strings.Lines(out.String()) {
			line = strings.TrimSuffix(line, "\n")
			if tab := strings.LastIndexByte(line, '\t'); tab >= 0 { // no value has one
				values[line[:tab]] = line[tab+1:]
			}
		}
		for line := range strings.Lines(errs.String()) {
			warnings = append(warnings, strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "postmap: "))
		}
		return values, warnings
	}
}

// makeMap makes the index of a table with postmap(1).
func makeMap(t *testing.T, kind, source string, config ...string) {
	t.Helper()
	cmd := exec.Command(postfixTool(t, "postmap"), "-c", configDir(t, config...), kind+":"+source)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("postmap %s:%s: %v\n%s", kind, source, err, out)
	}
}

// recorder is a Logger that remembers.
type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) add(severity, format string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, severity+fmt.Sprintf(format, args...))
}

func (r *recorder) Warningf(format string, args ...any) { r.add("warning: ", format, args) }
func (r *recorder) Errorf(format string, args ...any)   { r.add("error: ", format, args) }

// postmapFlags are the flags that postmap -q opens a table with.
const postmapFlags = table.FoldFixed | table.UTF8

// open opens a table as postmap -q does.
func open(t *testing.T, spec string, utf8 bool) (table.Table, *recorder) {
	t.Helper()
	log := new(recorder)
	set := table.NewSet(table.Options{Log: log, UTF8: utf8, OpenErrorsEnd: true, ASCIIEntries: asciiEntries(t)})
	t.Cleanup(func() { set.Close() })
	opened, err := set.Open(spec, postmapFlags)
	if err != nil {
		t.Fatalf("open %s: %v", spec, err)
	}
	return opened, log
}

// asciiEntries tells whether the installed Postfix folds only ASCII letters of
// texthash: and inline: (3.11 and later).
func asciiEntries(t *testing.T) bool {
	t.Helper()
	out, err := exec.Command(postfixTool(t, "postconf"), "-dh", "mail_version").Output()
	var minor int
	if _, serr := fmt.Sscanf(string(out), "3.%d", &minor); err != nil || serr != nil {
		t.Fatalf("mail_version of the installed Postfix is %q: %v, %v", out, err, serr)
	}
	return minor >= 11
}

// newerPCRE tells whether postmap has a PCRE2 (10.43 or later) with other rules
// than ours for a few patterns, see package pcre.
func newerPCRE(t *testing.T) bool {
	t.Helper()
	hasType(t, "pcre")
	path := filepath.Join(t.TempDir(), "probe")
	write(t, path, "/^x{,2}$/ found\n")
	values, _ := postmap(t, "pcre:"+path, []string{"xx"})
	return values["xx"] == "found"
}

// noUTF8 is the setting with which keys can be any bytes.
const noUTF8 = "smtputf8_enable = no"

// compare asks a table and postmap for the same keys.
func compare(t *testing.T, spec string, keys []string, config ...string) {
	t.Helper()
	want, _ := postmap(t, spec, keys, config...)
	opened, _ := open(t, spec, !slices.Contains(config, noUTF8))
	wrong, hits := 0, 0
	for _, key := range keys {
		value, found, err := opened.Lookup(context.Background(), key)
		if err != nil {
			t.Fatalf("%s: %q: %v", spec, key, err)
		}
		wanted, known := want[key]
		if known {
			hits++
		}
		if found != known || value != wanted {
			if wrong++; wrong < 10 {
				t.Errorf("%s: %.200q: %.200q, %v; postmap has %.200q, %v", spec, key, value, found, wanted, known)
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%s: %d of %d keys differ", spec, wrong, len(keys))
	}
	t.Logf("%.80s: %d keys, %d found", spec, len(keys), hits)
}

// generator makes keys and values, the same ones each time.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 1))} }

func (g generator) text(alphabet string, low, high int) string {
	b := make([]byte, low+g.IntN(high-low+1))
	for i := range b {
		b[i] = alphabet[g.IntN(len(alphabet))]
	}
	return string(b)
}

const (
	lowers  = "abcdefghijklmnopqrstuvwxyz0123456789"
	letters = lowers + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

func (g generator) address() string {
	return g.text(lowers+".+-_", 1, 20) + "@" + g.text(lowers, 1, 12) + "." + g.text(lowers, 2, 5)
}

// hostile makes a key of any bytes that one line can have.
func (g generator) hostile(high int) string {
	b := make([]byte, 1+g.IntN(high))
	for i := range b {
		for b[i] == 0 || b[i] == '\n' {
			b[i] = byte(g.IntN(256))
		}
	}
	return string(b)
}

// queries makes at least 10000 keys to look for: all of those of the table, the
// same with changes, and others. postmap is slow where keys are not UTF-8: it
// warns about each.
func (g generator) queries(known []string, raw bool) []string {
	hostile := func(high int) string {
		if k := g.hostile(high); raw || g.IntN(50) == 0 {
			return k
		} else {
			return strings.ToValidUTF8(k, "é")
		}
	}
	keys := append([]string(nil), known...)
	for _, k := range known {
		switch g.IntN(8) {
		case 0:
			keys = append(keys, strings.ToUpper(k))
		case 1:
			keys = append(keys, k+"x")
		case 2:
			keys = append(keys, "x"+k)
		case 3:
			keys = append(keys, k[:len(k)-1])
		case 4:
			keys = append(keys, k+" ")
		case 5:
			keys = append(keys, k+k)
		}
	}
	for len(keys) < 10_000 {
		keys = append(keys, g.address(), hostile(40), g.text(letters, 1, 4))
	}
	for range 100 {
		keys = append(keys, hostile(3000), g.text(letters, 400, 3000), "é"+g.text(lowers, 1, 3), "ÉÀß"+g.text(letters, 1, 3))
	}
	usable := keys[:0]
	for _, k := range keys {
		if k != "" && !strings.ContainsAny(k, "\n\x00") {
			usable = append(usable, k)
		}
	}
	return usable
}

// newSet returns a Set as postmap -q has it.
func newSet(log table.Logger) *table.Set {
	return table.NewSet(table.Options{Log: log, UTF8: true, OpenErrorsEnd: true})
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
