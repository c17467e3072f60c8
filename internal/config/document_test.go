package config

import (
	"bytes"
	"flag"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestDocument(t *testing.T) {
	for file, write := range map[string]func(io.Writer) error{
		"../../docs/parameters.md":  Document,
		"../../docs/man/postlmtp.5": Manual,
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, b.Bytes()) {
			t.Errorf("%s is not up to date: run go generate ./internal/config", file)
		}
	}
}

// TestEmptyDefaults: where the documentation says that a default is empty, it is.
func TestEmptyDefaults(t *testing.T) {
	c, _, err := load(t, "", Options{MailVersion: "3.12.0"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range Params() {
		if value, _ := c.Text(p.Name); value != "" && strings.Contains(p.defaultText(plain), "empty") {
			t.Errorf("%s: the default is %q, and not empty", p.Name, value)
		}
	}
}

// TestReadme: the README has the counts.
func TestReadme(t *testing.T) {
	const file = "../../README.md"
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`\d+ parameters: [^;|]*`).ReplaceAll(have, []byte(Counts()))
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(have, want) || !bytes.Contains(have, []byte(Counts())) {
		t.Errorf("%s is not up to date: run go generate ./internal/config", file)
	}
}

var update = flag.Bool("update", false, "write docs/parameters.md")
