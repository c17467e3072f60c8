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
	ours, err := Parse("x", "# x\n\n== request\nrcpt: a@b\n\n== expect log\n1\n\n== ours log\n2\n\n== ours log from 3.11\n4\n\n== ours log from 3.10\n3\n")
	if err != nil {
		t.Fatal(err)
	}
	for release, want := range map[string]string{"": "2\n", "3.7.11": "2\n", "3.5.25": "2\n", "3.10.13": "3\n", "3.11.7": "4\n", "3.12-20260821": "4\n"} {
		if got := ours.Ours(release)["log"]; got != want {
			t.Errorf("ours under %q: %q", release, got)
		}
	}
	for release, want := range map[string]bool{"": true, "3.7.11": true, "3.7": true, "3.5.25": false, "3.10.1": false, "3.17.0": false, "4.7.0": false} {
		if Native(release) != want {
			t.Errorf("%q: not %v", release, want)
		}
	}
	if s.Lacks("3.5.25") == "" || s.Lacks("3.7.11") != "" || s.Lacks("") != "" {
		t.Error("what a release lacks")
	}
	for _, head := range []string{"differs until", "differs since 3.5 log", "differs until 3.5 nothing", "differs until x log",
		"expect", "expect nothing", "expect log from 3.10", "ours log until 3.10", "ours log from x", "ours log from"} {
		if _, err := Parse("x", "# x\n\n== "+head+"\nwhy\n"); err == nil {
			t.Errorf("%q is accepted", head)
		}
	}
}
