package scenario

import (
	"fmt"
	"strings"
	"testing"
)

func TestFoldRuns(t *testing.T) {
	var run strings.Builder
	for i := range longRun {
		fmt.Fprintf(&run, "to=<u%d@example.net>\n", i)
	}
	short := strings.Join(strings.SplitAfter(run.String(), "\n")[:longRun-1], "")
	if got := foldRuns("a\n" + short + "b\n"); got != "a\n"+short+"b\n" {
		t.Errorf("a short run was folded:\n%s", got)
	}
	got := lines(foldRuns("a\n" + run.String() + "b\n"))
	if len(got) != 5 || got[1] != "to=<u0@example.net>" || got[3] != fmt.Sprintf("to=<u%d@example.net>", longRun-1) ||
		!strings.HasPrefix(got[2], fmt.Sprintf("... %d like it, sum of all ", longRun-2)) {
		t.Errorf("folded to\n%s", strings.Join(got, "\n"))
	}
	other := lines(foldRuns("a\n" + strings.Replace(run.String(), "u7@", "u8@", 1) + "b\n"))
	if len(other) != 5 || other[2] == got[2] {
		t.Error("another run has the same sum")
	}
}

func TestUnified(t *testing.T) {
	var a, b strings.Builder
	for i := range 30 {
		fmt.Fprintf(&a, "line %d\n", i)
		if i != 10 {
			fmt.Fprintf(&b, "line %d\n", i)
		}
		if i == 20 {
			b.WriteString("new\n")
		}
	}
	want := `--- want
+++ got
@@ -8,7 +8,6 @@
 line 7
 line 8
 line 9
-line 10
 line 11
 line 12
 line 13
@@ -19,6 +18,7 @@
 line 18
 line 19
 line 20
+new
 line 21
 line 22
 line 23
`
	if got := Unified("want", a.String(), "got", b.String()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := Unified("want", "x\n", "got", "x\n"); got != "" {
		t.Errorf("same texts differ: %s", got)
	}
}
