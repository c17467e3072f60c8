package install

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"postlmtp/internal/lab/program"
)

// site is a configuration with a stand-in for postconf(1) that adds services.
type site struct {
	t                   *testing.T
	dir, daemons, queue string
	daemon              string // what is installed
}

// newSite makes one. Trouble is a piece of shell that postconf runs when it has
// made a change in the directory itself, not in a copy.
func newSite(t *testing.T, daemon, trouble string) *site {
	t.Helper()
	base := t.TempDir()
	s := &site{t: t, daemon: daemon, dir: filepath.Join(base, "etc"), daemons: filepath.Join(base, "daemon"), queue: filepath.Join(base, "queue")}
	for _, dir := range []string{s.dir, s.daemons, filepath.Join(s.queue, "pid"), filepath.Join(base, "bin")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(base, "bin/postconf"), `#!/bin/sh
case "$3 $4" in
"-M "*=*) echo "${4#*=}" >>"$2/master.cf";;
"-MX "*) grep -v "^${4%/*} " "$2/master.cf" >"$2/new"; mv "$2/new" "$2/master.cf";;
*) exit 1;;
esac
if [ "$2" = "`+s.dir+`" ]; then :; `+trouble+`
fi
`)
	write(t, s.file("main.cf"), "daemon_directory = "+s.daemons+"\ncommand_directory = "+filepath.Join(base, "bin")+
		"\nqueue_directory = "+s.queue+"\nmyhostname = a.example\n")
	write(t, s.file("master.cf"), "smtp unix - - n - - smtp\n")
	return s
}

// build compiles the daemon.
func build(t *testing.T) string {
	t.Helper()
	path, err := program.Build(t.TempDir(), "lmtp")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (s *site) file(name string) string { return filepath.Join(s.dir, name) }
func (s *site) program() string         { return filepath.Join(s.daemons, usualName) }

func (s *site) install() error {
	p, err := Prepare(Options{Dir: s.dir, Program: s.daemon, Name: usualName, Service: "postlmtp", Like: "lmtp"})
	if err != nil {
		return err
	}
	return p.Apply()
}

func (s *site) uninstall(primary string) *Plan {
	s.t.Helper()
	p, err := removal(s.dir, "postlmtp", primary)
	if err == nil {
		err = p.Apply()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// read returns all files of the configuration.
func (s *site) read() map[string]string {
	s.t.Helper()
	files := make(map[string]string)
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(s.file(e.Name()))
		if err != nil {
			s.t.Fatal(err)
		}
		files[e.Name()] = string(data)
	}
	return files
}

// same tells whether the configuration is what it was, and the program gone.
func (s *site) same(before map[string]string) {
	s.t.Helper()
	now := s.read()
	for name, text := range now {
		if text != before[name] {
			s.t.Errorf("%s is\n%s", name, text)
		}
	}
	if len(now) != len(before) {
		s.t.Errorf("%d files, not %d", len(now), len(before))
	}
	if exists(s.program()) {
		s.t.Error("the program is there")
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestFailures: an installation that fails leaves nothing behind, wherever it
// does.
func TestFailures(t *testing.T) {
	daemon := build(t)
	t.Run("postconf", func(t *testing.T) {
		s := newSite(t, daemon, "exit 1")
		before := s.read()
		if err := s.install(); err == nil {
			t.Error("no error")
		}
		s.same(before)
	})
	t.Run("postconf, and what was there cannot be restored", func(t *testing.T) {
		s := newSite(t, daemon, `mv "$2/master.cf" "$2/away"; exit 1`)
		before := s.read()
		if err := s.install(); err == nil {
			t.Error("no error")
		}
		if !exists(s.program()) {
			t.Error("a service without program")
		}
		if err := os.Rename(s.file("away"), s.file("master.cf")); err != nil {
			t.Fatal(err)
		}
		s.uninstall(s.dir)
		s.same(before)
	})
	t.Run("postconf, before it changed anything", func(t *testing.T) {
		s := newSite(t, daemon, "")
		before := s.read()
		p, err := Prepare(Options{Dir: s.dir, Program: s.daemon, Name: usualName, Service: "postlmtp", Like: "lmtp"})
		if err != nil {
			t.Fatal(err)
		}
		was, err := os.Stat(s.file("master.cf"))
		if err != nil {
			t.Fatal(err)
		}
		p.postconf = "/bin/false"
		if err := p.Apply(); err == nil {
			t.Error("no error")
		}
		s.same(before)
		if is, err := os.Stat(s.file("master.cf")); err != nil || !os.SameFile(was, is) {
			t.Error("master.cf was written")
		}
	})
	t.Run("program", func(t *testing.T) {
		s := newSite(t, daemon, "")
		before := s.read()
		p, err := Prepare(Options{Dir: s.dir, Program: s.daemon, Name: usualName, Service: "postlmtp", Like: "lmtp"})
		if err != nil {
			t.Fatal(err)
		}
		p.Program.To = filepath.Join(s.daemons, "none", usualName)
		if err := p.Apply(); err == nil {
			t.Error("no error")
		}
		s.same(before)
	})
	t.Run("record", func(t *testing.T) {
		s := newSite(t, daemon, "")
		before := s.read()
		p, err := Prepare(Options{Dir: s.dir, Program: s.daemon, Name: usualName, Service: "postlmtp", Like: "lmtp"})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(s.file(stateFile), 0o755); err != nil { // in the way of the rename
			t.Fatal(err)
		}
		if err := p.Apply(); err == nil {
			t.Error("no error")
		}
		if err := os.Remove(s.file(stateFile)); err != nil {
			t.Fatal(err)
		}
		s.same(before)
	})
}

// TestKilled: whoever is killed in the middle of an installation can undo it.
func TestKilled(t *testing.T) {
	daemon := build(t)
	for _, when := range []string{"before the program is copied", "before the service is added"} {
		t.Run(when, func(t *testing.T) {
			s := newSite(t, daemon, "")
			before := s.read()
			if err := s.install(); err != nil {
				t.Fatal(err)
			}
			write(t, s.file("master.cf"), before["master.cf"])
			if strings.Contains(when, "program") {
				if err := os.Remove(s.program()); err != nil {
					t.Fatal(err)
				}
			}
			if p := s.uninstall(s.dir); !p.Exact {
				t.Error("not exact")
			}
			s.same(before)
		})
	}
}

// TestMeanwhile: what somebody else changes in the same moment stays.
func TestMeanwhile(t *testing.T) {
	s := newSite(t, build(t), `echo "mynetworks = 10.0.0.0/8" >>"$2/main.cf"`)
	err := s.install()
	if err == nil || !strings.Contains(err.Error(), "somebody else") {
		t.Error(err)
	}
	if text := s.read()["main.cf"]; !strings.HasSuffix(text, "mynetworks = 10.0.0.0/8\n") {
		t.Errorf("main.cf is\n%s", text)
	}
	s.uninstall(s.dir)
	after := s.read()
	if strings.Contains(after["master.cf"], "postlmtp") || len(after) != 2 || exists(s.program()) {
		t.Errorf("after uninstall: %v", after)
	}
}

// TestOtherInstances: the program stays as long as another instance of Postfix
// runs it.
func TestOtherInstances(t *testing.T) {
	daemon := build(t)
	for _, param := range []string{"multi_instance_directories", "alternate_config_directories"} {
		s := newSite(t, daemon, "")
		if err := s.install(); err != nil {
			t.Fatal(err)
		}
		primary := t.TempDir()
		write(t, filepath.Join(primary, "main.cf"), "dirs = "+s.dir+"\ndaemon_directory = "+s.daemons+"\n"+param+" = /nowhere, $dirs\nmyhostname = a.example\n")
		write(t, filepath.Join(primary, "master.cf"), "lmtp unix - - n - - postlmtp-lmtp\n")
		s.uninstall(primary)
		if !exists(s.program()) {
			t.Errorf("%s: the program is gone, and the first instance runs it", param)
		}
		if len(s.read()) != 2 {
			t.Errorf("%v", s.read())
		}
	}
	// And the other way round.
	s, other := newSite(t, daemon, ""), t.TempDir()
	write(t, s.file("main.cf"), s.read()["main.cf"]+"multi_instance_directories = "+other+"\n")
	if err := s.install(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(other, "main.cf"), "daemon_directory = "+s.daemons+"\nmyhostname = a.example\n")
	write(t, filepath.Join(other, "master.cf"), "x unix - - n - - postlmtp-lmtp\n")
	s.uninstall(s.dir)
	if !exists(s.program()) {
		t.Error("the program is gone, and the second instance runs it")
	}
}

// TestRunning: a Postfix that runs has the old master.cf until it is reloaded.
func TestRunning(t *testing.T) {
	s := newSite(t, build(t), "")
	before := s.read()
	if err := s.install(); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(filepath.Join(s.queue, "pid/master.pid"))
	if err == nil {
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := s.uninstall(s.dir)
	if p.Left() != s.program() || !exists(s.program()) {
		t.Errorf("%q is left", p.Left())
	}
	if err := p.RemoveProgram(); err != nil || p.Left() != "" {
		t.Error(err, p.Left())
	}
	s.same(before)
	lock.Close()
	if err := s.install(); err != nil {
		t.Fatal(err)
	}
	if p := s.uninstall(s.dir); p.Left() != "" {
		t.Errorf("%q is left by nobody", p.Left())
	}
	s.same(before)
}
