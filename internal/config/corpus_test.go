package config

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postlmtp/internal/lab/lacking"
	"postlmtp/internal/maincf"
)

// The corpus in testdata/config has one sample a file: the text of main.cf
// and, after a line "#= master.cf", that of master.cf. Comments say more:
//
//	#= service NAME/TYPE   the service to look at in master.cf
//	#= since 3.N           the first release that sees the sample so
//	#! fatal: TEXT         the mistake that the sample contains
//	#! warning: TEXT       what Postfix logs before that
//	#! order: NAME...      values that in Postfix's lmtp(8), but not with
//	                       postconf, depend on the order of initialization
//
// DIR in a text stands for the configuration directory.
const corpus = "../../testdata/config"

type sample struct {
	name, dir     string
	service, typ  string
	fatal         string
	warnings      []string
	orderMatters  map[string]bool
	hasMaster     bool
	since         string
	pseudo        bool // refers to $process_name or $service_name
	mailVersion   string
	config        *Config
	loadErr       error
	optionsErr    error
	args          []string // words of the service in master.cf
	loadWarnings  []Warning
	masterRemarks []Warning
}

// samples writes the corpus to directories that Postfix accepts, and loads
// each sample.
func samples(t *testing.T, mailVersion string) []*sample {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(corpus, "*.cf"))
	if err != nil || len(files) < 60 {
		t.Fatalf("corpus has %d files: %v", len(files), err)
	}
	root := t.TempDir()
	var all []*sample
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".cf")
		s := &sample{name: name, dir: filepath.Join(root, name), service: "lmtp", typ: "unix",
			orderMatters: map[string]bool{}, mailVersion: mailVersion}
		main, master, found := strings.Cut(string(data), "#= master.cf\n")
		s.hasMaster = found
		s.pseudo = strings.Contains(main, "process_name") || strings.Contains(main, "service_name")
		s.directives(main)
		s.write(t, "main.cf", main)
		s.write(t, "master.cf", master)
		s.load()
		all = append(all, s)
	}
	return all
}

func (s *sample) directives(main string) {
	for _, line := range strings.Split(main, "\n") {
		line = strings.ReplaceAll(line, "DIR", s.dir)
		if v, ok := strings.CutPrefix(line, "#= service "); ok {
			s.service, s.typ, _ = strings.Cut(v, "/")
		} else if v, ok := strings.CutPrefix(line, "#= since "); ok {
			s.since = v
		} else if v, ok := strings.CutPrefix(line, "#! fatal: "); ok {
			s.fatal = v
		} else if v, ok := strings.CutPrefix(line, "#! warning: "); ok {
			s.warnings = append(s.warnings, v)
		} else if v, ok := strings.CutPrefix(line, "#! order: "); ok {
			for _, name := range strings.Fields(v) {
				s.orderMatters[name] = true
			}
		}
	}
}

// write puts a file into the sample's directory. It looks old because
// Postfix waits for files that have just been changed.
func (s *sample) write(t *testing.T, name, text string) {
	t.Helper()
	past := time.Now().Add(-time.Hour)
	path := filepath.Join(s.dir, name)
	err := errors.Join(os.MkdirAll(s.dir, 0o755), os.WriteFile(path, []byte(text), 0o644), os.Chtimes(path, past, past))
	if err != nil {
		t.Fatal(err)
	}
}

func (s *sample) load() {
	o := Options{Dir: s.dir, MailVersion: s.mailVersion}
	if s.hasMaster {
		services, _, _ := maincf.ReadMaster(filepath.Join(s.dir, "master.cf"))
		service, _ := maincf.FindService(services, s.service, s.typ)
		s.args = service.Args
		o, s.masterRemarks, s.optionsErr = ServiceOptions(o, s.service, s.typ)
	}
	s.config, s.loadWarnings, s.loadErr = Load(o)
}

// mistake returns the text and the warnings of the first error.
func (s *sample) mistake() (text string, warnings []string) {
	err := s.optionsErr
	if err == nil {
		err = s.loadErr
	}
	if err == nil {
		return "", nil
	}
	var list Errors
	if errors.As(err, &list) {
		return list[0].Text, list[0].Warnings
	}
	return err.Error(), nil
}

func TestCorpus(t *testing.T) {
	for _, s := range samples(t, "3.7.11") {
		text, warnings := s.mistake()
		if text != s.fatal {
			t.Errorf("%s: mistake %q, want %q", s.name, text, s.fatal)
		}
		if strings.Join(warnings, "\n") != strings.Join(s.warnings, "\n") {
			t.Errorf("%s: warnings %q, want %q", s.name, warnings, s.warnings)
		}
	}
}

// needPostfix returns the paths of the installed postconf and lmtp, and the
// release. Without them the test ends.
func needPostfix(t *testing.T) (postconf, lmtp, version string) {
	t.Helper()
	postconf, err := exec.LookPath("postconf")
	if err != nil {
		if postconf, err = exec.LookPath("/usr/sbin/postconf"); err != nil {
			lacking.Stop(t, "a Postfix to compare with: "+err.Error())
		}
	}
	out, err := exec.Command(postconf, "-d", "-h", "daemon_directory", "mail_version").Output()
	lines := strings.Fields(string(out))
	if err != nil || len(lines) != 2 {
		t.Fatalf("postconf does not work: %v %q", err, out)
	}
	return postconf, filepath.Join(lines[0], "lmtp"), lines[1]
}

// each runs f for all samples, several at a time: Postfix programs sleep for
// a second before they exit after a mistake.
func each(all []*sample, f func(*sample)) {
	var wg sync.WaitGroup
	gate := make(chan struct{}, 24)
	for _, s := range all {
		gate <- struct{}{}
		wg.Go(func() {
			defer func() { <-gate }()
			f(s)
		})
	}
	wg.Wait()
}

// inRelease leaves out what an older release does not see so.
func inRelease(all []*sample, version string) []*sample {
	return slices.DeleteFunc(all, func(s *sample) bool { return s.since != "" && before(version, s.since) })
}

// before compares releases.
func before(version, since string) bool {
	have, _ := parseRelease(version)
	first, _ := parseRelease(since)
	return have.less(first)
}

// run executes a Postfix program and returns what it writes.
func run(t *testing.T, env []string, name string, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if filepath.Base(name) == "lmtp" {
		cmd.Stdout = nil // its client connection; it waits for a pipe to be closed
	}
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// TestEqualPostconf compares the text of every parameter with what postconf
// says.
func TestEqualPostconf(t *testing.T) {
	postconf, _, version := needPostfix(t)
	known := map[string]bool{}
	out, _, err := run(t, nil, postconf, "-d")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(out, "\n") {
		name, _, _ := strings.Cut(line, " =")
		known[name] = true
	}
	var names []string
	for _, p := range Params() {
		if known[p.Name] && p.Name != "process_name" && p.Name != "service_name" {
			names = append(names, p.Name)
		}
	}
	var mu sync.Mutex
	compared := 0
	each(inRelease(samples(t, version), version), func(s *sample) {
		if s.fatal != "" {
			if strings.HasPrefix(s.name, "bad-line") {
				// lmtp(8) logs this one before it knows that it should do so on
				// standard error.
				if _, stderr, _ := run(t, nil, postconf, "-c", s.dir, "myhostname"); !strings.Contains(stderr, "fatal: "+s.fatal+"\n") {
					t.Errorf("%s: postconf says %q, want %q", s.name, stderr, s.fatal)
				}
			}
			return
		}
		if s.pseudo {
			return // postconf has no value for them
		}
		if s.hasMaster {
			s.comparePostconfMaster(t, postconf)
		}
		s.config, _, s.loadErr = Load(Options{Dir: s.dir, MailVersion: version})
		out, stderr, err := run(t, nil, postconf, append([]string{"-x", "-c", s.dir}, names...)...)
		if err != nil {
			t.Errorf("%s: postconf: %v %s", s.name, err, stderr)
			return
		}
		for _, line := range strings.Split(strings.TrimSuffix(out, "\n"), "\n") {
			name, want, _ := strings.Cut(line, " =")
			want = strings.TrimPrefix(want, " ")
			if got, _ := s.config.Text(name); oneLine(got) != want {
				t.Errorf("%s: %s = %q, postconf says %q", s.name, name, got, want)
			}
			mu.Lock()
			compared++
			mu.Unlock()
		}
	})
	t.Logf("%d values compared with Postfix %s", compared, version)
}

// comparePostconfMaster compares the overrides of the service.
func (s *sample) comparePostconfMaster(t *testing.T, postconf string) {
	pattern := s.service + "/" + s.typ + "/*"
	out, stderr, err := run(t, nil, postconf, "-P", "-x", "-c", s.dir, pattern)
	if err != nil {
		t.Errorf("%s: postconf: %v %s", s.name, err, stderr)
		return
	}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		name, want, ok := strings.Cut(strings.TrimPrefix(line, s.service+"/"+s.typ+"/"), " =")
		// postconf shows the options of all entries, and splits -oname=value
		// at the wrong place.
		if !ok || s.name == "override-last-entry-counts" || s.name == "override-attached" {
			continue
		}
		if got, _ := s.config.Text(name); oneLine(got) != strings.TrimPrefix(want, " ") {
			t.Errorf("%s: %s = %q, postconf -P says %q", s.name, name, got, want)
		}
	}
}

// TestEqualDaemon compares the text of every parameter, and every mistake,
// with what Postfix's own lmtp program finds.
func TestEqualDaemon(t *testing.T) {
	_, lmtp, version := needPostfix(t)
	var mu sync.Mutex
	compared, mistakes := 0, 0
	each(inRelease(samples(t, version), version), func(s *sample) {
		args := append([]string{"-v", "-v", "-V", "-S", "-n", s.service, "-t", s.typ}, s.args...)
		_, stderr, _ := run(t, []string{"MAIL_CONFIG=" + s.dir}, lmtp, args...)
		values, log := daemonValues(stderr)
		n := 0
		if s.fatal != "" {
			if strings.HasPrefix(s.name, "bad-line") {
				return // see TestEqualPostconf
			}
			for _, want := range append(s.texts("warning"), "fatal: "+s.fatal) {
				if !strings.Contains(log, want+"\n") {
					t.Errorf("%s: Postfix says %q, want %q", s.name, log, want)
				}
			}
			mu.Lock()
			mistakes++
			mu.Unlock()
			return
		}
		for name, want := range values {
			if s.orderMatters[name] || name == "process_id" {
				continue
			}
			if name == "compatibility_level" && before(version, "3.6") {
				continue // a number then
			}
			got, known := s.config.Text(name)
			if known && printable(got) != want {
				t.Errorf("%s: %s = %q, Postfix's lmtp has %q", s.name, name, got, want)
			}
			if known {
				n++
			}
		}
		if n < 150 {
			t.Errorf("%s: only %d values found in the log: %s", s.name, n, log)
		}
		mu.Lock()
		compared += n
		mu.Unlock()
	})
	t.Logf("%d values and %d mistakes compared with Postfix %s", compared, mistakes, version)
}

// printable replaces control characters as Postfix does when it logs.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return '?'
		}
		return r
	}, s)
}

func (s *sample) texts(label string) []string {
	var all []string
	for _, w := range s.warnings {
		all = append(all, label+": "+w)
	}
	return all
}

// daemonValues finds the values of parameters in a verbose log, and returns
// them and the lines that are warnings or errors.
func daemonValues(log string) (values map[string]string, remarks string) {
	values = map[string]string{}
	var pending, raw string
	evaluating := false
	scan := bufio.NewScanner(strings.NewReader(log))
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		_, line, _ := strings.Cut(scan.Text(), ": ")
		kind, rest, _ := strings.Cut(line, ": ")
		switch kind {
		case "dict_lookup":
			if !evaluating {
				pending, raw, _ = strings.Cut(rest, " = ")
			}
		case "mac_parse":
			evaluating = pending != ""
		case "dict_update":
			if name, value, _ := strings.Cut(rest, " = "); name == pending && raw == "(notfound)" {
				values[name], pending = value, ""
			}
		case "dict_eval":
			evaluating = false
			if pending == "" || raw == "(notfound)" {
				continue
			}
			if value, ok := strings.CutPrefix(rest, "const  "); ok && value == raw {
				values[pending], pending = value, ""
			} else if value, ok := strings.CutPrefix(rest, "expand "+raw+" -> "); ok {
				values[pending], pending = value, ""
			}
		case "warning", "error", "fatal", "panic":
			remarks += line + "\n"
		}
	}
	return values, remarks
}
