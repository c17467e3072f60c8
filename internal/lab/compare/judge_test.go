package main

import (
	"strings"
	"testing"

	"postlmtp/internal/lab/scenario"
)

const file = "# t\n\n== request\n\n== expect log\ntheirs\n\n== expect status\n0\n"

func TestJudge(t *testing.T) {
	documented := file + "\n== differs\nbecause\n\n== ours log\nours\n"
	obs := func(log, status string) scenario.Observed {
		return scenario.Observed{"log": log, "status": status}
	}
	later := file + "\n== differs from 3.10 status\nbecause\n"
	tests := []struct {
		name, text   string
		theirs, ours scenario.Observed
		verdict      string
		bad          bool
		release      string
	}{
		{"same", file, obs("theirs\n", "0\n"), obs("theirs\n", "0\n"), "log same", false, ""},
		{"different", file, obs("theirs\n", "0\n"), obs("ours\n", "0\n"), "log DIFFERENT", true, ""},
		{"stale", file, obs("new\n", "0\n"), obs("new\n", "0\n"), "log same STALE", true, ""},
		{"documented", documented, obs("theirs\n", "0\n"), obs("ours\n", "0\n"), "log documented", false, ""},
		{"documented otherwise", documented, obs("theirs\n", "0\n"), obs("odd\n", "0\n"), "log DIFFERENT", true, ""},
		{"another facet", documented, obs("theirs\n", "0\n"), obs("ours\n", "1\n"), "status DIFFERENT", true, ""},
		{"stale, named", file, obs("new\n", "0\n"), obs("new\n", "0\n"), "log same STALE", true, "3.7.11"},
		{"documented otherwise, named", documented, obs("theirs\n", "0\n"), obs("odd\n", "0\n"), "log DIFFERENT", true, "3.7.11"},
		{"another release", file, obs("new\n", "0\n"), obs("new\n", "0\n"), "log same,", false, "3.10.1"},
		{"another release, different", file, obs("new\n", "0\n"), obs("theirs\n", "0\n"), "log DIFFERENT", true, "3.10.1"},
		{"another release, documented", documented, obs("theirs\n", "0\n"), obs("ours\n", "0\n"), "log documented", false, "3.10.1"},
		{"another release, documented otherwise", documented, obs("theirs\n", "0\n"), obs("odd\n", "0\n"), "log DIFFERENT", true, "3.10.1"},
		{"another release leaves the file", documented, obs("new\n", "0\n"), obs("odd\n", "0\n"), "log documented", false, "3.10.1"},
		{"another release, another facet", documented, obs("new\n", "0\n"), obs("odd\n", "1\n"), "status DIFFERENT", true, "3.10.1"},
		{"different in this release", later, obs("theirs\n", "0\n"), obs("theirs\n", "1\n"), "status documented", false, "3.10.1"},
		{"different in another release", later, obs("theirs\n", "0\n"), obs("theirs\n", "1\n"), "status DIFFERENT", true, "3.5.25"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := scenario.Parse("t", tt.text)
			if err != nil {
				t.Fatal(err)
			}
			o := judge(s, tt.theirs, tt.ours, tt.release, false)
			var sum summary
			sum.add(&o)
			if !strings.Contains(o.text, tt.verdict) || sum.bad() != tt.bad {
				t.Errorf("bad %v, text\n%s", sum.bad(), o.text)
			}
		})
	}
	if (summary{}).bad() == false {
		t.Error("no scenario at all is no success")
	}
}
