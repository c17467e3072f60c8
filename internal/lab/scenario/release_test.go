package scenario

import "testing"

func TestReleases(t *testing.T) {
	s, err := Parse("x", "# x\n\n== settings\na = regexp:{ {/x/ y} }\n\n== differs until 3.5 log file\nwhy\n\n== differs from 3.10 server\nwhy\n\n== request\nrcpt: a@b\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		release, facet string
		want           bool
	}{
		{"3.5.25", "log", true}, {"3.5.25", "server", false}, {"3.7.11", "log", false},
		{"3.10.1", "server", true}, {"3.12-20260821", "server", true}, {"3.9.1", "server", false}, {"", "log", false},
	} {
		if got := s.DiffersIn(c.release, c.facet); got != c.want {
			t.Errorf("%s %s: %v", c.release, c.facet, got)
		}
	}
	if s.Lacks("3.5.25") == "" || s.Lacks("3.7.11") != "" || s.Lacks("") != "" {
		t.Error("what a release lacks")
	}
	for _, head := range []string{"differs until", "differs since 3.5 log", "differs until 3.5 nothing", "differs until x log"} {
		if _, err := Parse("x", "# x\n\n== "+head+"\nwhy\n"); err == nil {
			t.Errorf("%q is accepted", head)
		}
	}
}
