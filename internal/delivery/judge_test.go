package delivery

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postlmtp/internal/dsn"
)

var update = flag.Bool("update", false, "write golden files")

// The whole decision table of judge, as data.
func TestJudge(t *testing.T) {
	var b strings.Builder
	fmt.Fprintln(&b, "status  server      soft_bounce  other server may help  verdict")
	for _, status := range []string{"4.2.2", "5.1.1"} {
		for _, final := range []bool{false, true} {
			for _, softBounce := range []bool{false, true} {
				for _, softNonFinal := range []bool{false, true} {
					f := Failure{Diagnosis: dsn.Diagnosis{Status: status}, SoftNonFinal: softNonFinal}
					fmt.Fprintf(&b, "%-7s %-11s %-12s %-22s %v\n", status,
						map[bool]string{false: "not last", true: "last"}[final],
						yesNo(softBounce), yesNo(softNonFinal), judge(f, final, softBounce))
				}
			}
		}
	}
	golden(t, "judge.golden", b.String())
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
