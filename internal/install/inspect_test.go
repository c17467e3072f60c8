package install

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"postlmtp/internal/lab/program"
)

func TestInspect(t *testing.T) {
	dir := t.TempDir()
	daemon := filepath.Join(dir, "postlmtp-lmtp")
	built, err := program.Build(dir, "lmtp")
	if err == nil {
		err = os.Rename(built, daemon)
	}
	if err != nil {
		t.Fatal(err)
	}
	const master = `lmtp unix - - n - - lmtp
ours unix - - n - - postlmtp-lmtp flags=R
gone unix - - n - - other/lmtp
smtp unix - - n - - smtp
`
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	mainFile := write("main.cf", "daemon_directory = "+dir+"\nmyhostname = a.example\n")
	masterFile := write("master.cf", master)
	write("lmtp", "#!/bin/sh\n")
	then := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	mainText, _ := os.ReadFile(mainFile)
	if err := writeState(dir, State{Records: []Record{{Service: "ours", When: then,
		Files: []FileRecord{{mainFile, "", string(mainText)}, {masterFile, "", master}}}}}); err != nil {
		t.Fatal(err)
	}
	list, err := Inspect(dir, daemon)
	if err != nil || len(list) != 3 {
		t.Fatalf("%+v %v", list, err)
	}
	if s := list[0]; s.Name != "lmtp" || s.Ours || s.Undo != nil || s.Program.Same || s.Program.Mode != "0755" || s.Line != 1 {
		t.Errorf("%+v %+v", s, s.Program)
	}
	if s := list[1]; !s.Ours || !s.Program.Same || s.Text != "postlmtp-lmtp flags=R" || s.Undo == nil || !s.Undo.Exact || !s.Undo.When.Equal(then) {
		t.Errorf("%+v %+v %+v", s, s.Program, s.Undo)
	}
	if s := list[2]; !s.Program.Missing || s.Ours {
		t.Errorf("%+v %+v", s, s.Program)
	}
	write("main.cf", string(mainText)+"\n# changed\n")
	if list, err = Inspect(dir, ""); err != nil || list[1].Undo.Exact || list[1].Program.Same {
		t.Errorf("%+v %v", list, err)
	}
}
