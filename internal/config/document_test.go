package config

import (
	"bytes"
	"flag"
	"io"
	"os"
	"regexp"
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
