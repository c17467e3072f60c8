package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRetired(t *testing.T) {
	today := map[string]bool{}
	for _, p := range Params() {
		today[p.Name] = true
	}
	for _, r := range retired() {
		if today[r.Name] {
			t.Errorf("%s: is not retired", r.Name)
		}
		for _, name := range strings.Fields(r.Now) {
			if name != "or" && !today[name] {
				t.Errorf("%s: %s is not a parameter", r.Name, name)
			}
		}
		_, warnings, err := load(t, "myhostname = a.example\n"+r.Name+" = no\n", Options{})
		if err != nil || len(warnings) != 1 {
			t.Fatalf("%s: %v, %v", r.Name, warnings, err)
		}
		if w := warnings[0]; w.Line != 2 || !strings.Contains(w.Text, r.Name+" is not used any more") || !strings.HasSuffix(w.Text, "use "+r.Now) {
			t.Errorf("%s: line %d: %s", r.Name, w.Line, w.Text)
		}
	}
	c, warnings, err := load(t, "lmtp_per_record_deadline = yes\n", Options{})
	if err != nil || len(warnings) != 0 || !c.LMTP.PerRequestDeadline {
		t.Errorf("lmtp_per_record_deadline is not honoured: %v, %v", warnings, err)
	}
}

func TestOriginFile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"good": "  mail.example.com \nmore\n", "noend": "mail.example.com", "empty": "\nmail\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ name, want, mistake string }{
		{"good", "mail.example.com", ""},
		{"noend", "mail.example.com", ""},
		{"empty", "", "myorigin file DIR/empty is empty"},
		{"missing", "", "DIR/missing: cannot open file: No such file or directory"},
	} {
		c, _, err := load(t, "myorigin = "+dir+"/"+tt.name+"\n", Options{})
		got := ""
		if err != nil {
			got = err.Error()
		}
		if want := strings.ReplaceAll(tt.mistake, "DIR", dir); got != want {
			t.Errorf("%s: mistake %q, want %q", tt.name, got, want)
			continue
		}
		if err == nil && c.MyOrigin != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, c.MyOrigin, tt.want)
		}
		if text, _ := c.Text("myorigin"); text != dir+"/"+tt.name {
			t.Errorf("%s: text %q", tt.name, text)
		}
	}
}
