package generic

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeTables are one table of fixed keys, and one of patterns that knows
// "pattern@x" and whatever starts with "@".
type fakeTables struct {
	fixed map[string]string
	asked []string
}

func (f *fakeTables) Find(ctx context.Context, key string) (string, bool, error) {
	if v, ok, err := f.FindFixed(ctx, key); ok || err != nil {
		return v, ok, err
	}
	if key == "pattern@x" || strings.HasPrefix(key, "@") {
		return "of-pattern@x", true, nil
	}
	return "", false, nil
}

func (f *fakeTables) FindFixed(_ context.Context, key string) (string, bool, error) {
	f.asked = append(f.asked, key)
	if key == "broken@x" {
		return "", false, errors.New("table is gone")
	}
	v, ok := f.fixed[strings.ToLower(key)]
	return v, ok, nil
}

type testLog []string

func (l *testLog) Warningf(format string, args ...any) { *l = append(*l, fmt.Sprintf(format, args...)) }

func testMap(tables *fakeTables, propagate bool, log *testLog) *Map {
	return New(Options{
		Tables: tables,
		Local:  func(_ context.Context, domain string) (bool, error) { return domain == "local", nil },
		Complete: func(_ context.Context, addr string) (string, error) {
			switch {
			case addr == "down@x":
				return "", errors.New("problem talking to service rewrite")
			case addr == `""` || strings.Contains(addr, "@"):
				return addr, nil
			}
			return addr + "@origin", nil
		},
		Extension: Extension{Delimiters: "+", DoubleBounce: "double-bounce"},
		Propagate: propagate,
		Log:       log,
	})
}

func TestApply(t *testing.T) {
	fixed := map[string]string{
		"a@x": "b@y", "user@local": "u@y", "user": "wrong@y", "joe": "joe@y", `"sp ace"@x`: `"q r"@y`, "sp ace@x": "wrong@y",
		"@dom": "@other", "bare@x": "bare", "many@x": "one@y, two@y", "none@x": "(comment)", "null@x": "<>", "down@x": "down@x",
		"@catch": "all@y", "@local": "local@y", `"sp ace"`: "sp@y",
	}
	for _, tt := range []struct {
		addr, want, propagated string
	}{
		{"a@x", "b@y", ""},
		{"A@X", "b@y", ""},
		{"a+e@x", "b@y", "b+e@y"},
		{"+e@x", "", ""},
		{"user+e@local", "u@y", "u+e@y"},
		{"joe@local", "joe@y", ""},
		{"joe+e@local", "joe@y", "joe+e@y"},
		{"sp ace@local", "sp@y", ""},
		{"other@local", "local@y", ""},
		{"joe@x", "", ""},
		{"sp ace@x", "q r@y", ""},
		{"x@dom", "x@other", ""},
		{"x+e@dom", "x+e@other", ""},
		{"x y@dom", "x y@other", ""},
		{"bare@x", "bare@origin", ""},
		{"bare+e@x", "bare@origin", "bare+e@origin"},
		{"many@x", "one@y", ""},
		{"null@x", "", ""},
		{"z+e@catch", "all@y", ""},
		{"pattern@x", "of-pattern@x", ""},
		{"pattern+e@x", "", ""},
		{"postmaster+e@dom", "postmaster+e@other", ""},
		{"joe", "joe@y", ""},
		{"nobody", "", ""},
		{"", "", ""},
	} {
		for _, propagate := range []bool{false, true} {
			want, changed := tt.want, tt.want != "" || tt.addr == "null@x"
			if propagate && tt.propagated != "" {
				want = tt.propagated
			}
			if !changed {
				want = tt.addr
			}
			got, did, err := testMap(&fakeTables{fixed: fixed}, propagate, new(testLog)).Apply(t.Context(), tt.addr)
			if got != want || did != changed || err != nil {
				t.Errorf("%q, %v: %q, %v, %v, want %q", tt.addr, propagate, got, did, err, want)
			}
		}
	}
	for _, addr := range []string{"broken@x", "none@x", "down@x"} {
		log := new(testLog)
		_, _, err := testMap(&fakeTables{fixed: fixed}, false, log).Apply(t.Context(), addr)
		if want := "lmtp_generic_maps map lookup problem for " + addr; err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", addr, err, want)
		}
	}
	log := new(testLog)
	testMap(&fakeTables{fixed: fixed}, false, log).Apply(t.Context(), "many@x")
	if diff := cmp.Diff(testLog{"multi-valued lmtp_generic_maps result for many@x"}, *log); diff != "" {
		t.Error(diff)
	}
}

func TestOrder(t *testing.T) {
	tables := &fakeTables{}
	if _, changed, err := testMap(tables, false, nil).Apply(t.Context(), "a b+e@local"); changed || err != nil {
		t.Error(changed, err)
	}
	want := []string{`"a b+e"@local`, `"a b"@local`, `"a b+e"`, `"a b"`, "@local"}
	if diff := cmp.Diff(want, tables.asked); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestExtension(t *testing.T) {
	for _, tt := range []struct {
		e               Extension
		addr, bare, ext string
	}{
		{Extension{}, "a+b@c", "", ""},
		{Extension{Delimiters: "+-"}, "a-b+c@d", "a@d", "-b+c"},
		{Extension{Delimiters: "+"}, "a+", "a", "+"},
		{Extension{Delimiters: "+"}, "+a@b", "", ""},
		{Extension{Delimiters: "-"}, "Mailer-Daemon@b", "", ""},
		{Extension{Delimiters: "-", DoubleBounce: "double-bounce"}, "double-bounce@b", "", ""},
		{Extension{Delimiters: "-", OwnerRequest: true}, "owner-l@b", "", ""},
		{Extension{Delimiters: "-", OwnerRequest: true}, "l-request@b", "", ""},
		{Extension{Delimiters: "-", OwnerRequest: true}, "-request@b", "", ""},
		{Extension{Delimiters: "-"}, "l-request@b", "l@b", "-request"},
	} {
		bare, ext, ok := tt.e.Cut(tt.addr)
		if ok != (tt.bare != "") || ok && (bare != tt.bare || ext != tt.ext) {
			t.Errorf("%+v, %q: %q, %q, %v", tt.e, tt.addr, bare, ext, ok)
		}
	}
}
