package queuefile

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestInspect(t *testing.T) {
	for _, room := range []bool{false, true} {
		want := Envelope{
			Arrival: time.Unix(1700000000, 0), QueueID: "4XyZ", Context: "remote", EnvelopeID: "id+2B", Ret: 2,
			Sender: "s@example.org", Encoding: "8bit", SendOpts: 3, FullName: "S",
			Recipients: []Recipient{
				{Address: "a@example.org", Original: "alias@example.org", ORcpt: "rfc822;alias@example.org", Notify: 6},
				{Address: "b@example.org", Original: "b@example.org", ORcpt: "rfc822;b@example.org"},
				{Address: "c@example.org", Original: "c@example.org", ORcpt: "rfc822;c@example.org"},
			},
		}
		e := want
		e.EditRoom = room
		path := filepath.Join(t.TempDir(), "4XyZ")
		layout, err := Create(path, e, strings.NewReader("Subject: x\n\ntext\n"))
		if err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.MarkDone(layout.Recipients[1]); err != nil {
			t.Fatal(err)
		}
		got, err := Inspect(f)
		if err != nil {
			t.Fatal(err)
		}
		want.Recipients = append(want.Recipients[:1:1], want.Recipients[2])
		if diff := cmp.Diff(want, got.Envelope); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"b@example.org"}, got.Done); diff != "" {
			t.Error(diff)
		}
		if got.DataOffset != layout.DataOffset || got.Size != layout.ContentSize {
			t.Errorf("offset %d size %d, want %d %d", got.DataOffset, got.Size, layout.DataOffset, layout.ContentSize)
		}
	}
}

// TestInspectCancelled: what stood in front of a recipient that a Milter removed
// is not the next one's.
func TestInspectCancelled(t *testing.T) {
	data, layout, err := Build(Envelope{Sender: "s@x", Recipients: []Recipient{
		{Address: "gone@x", Original: "alias@x", ORcpt: "rfc822;alias@x", Notify: 1}, {Address: "b@x"},
	}}, strings.NewReader("x\n"))
	if err != nil {
		t.Fatal(err)
	}
	data[layout.Recipients[0]] = TypeCancelled
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, data, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := Inspect(f)
	if err != nil {
		t.Fatal(err)
	}
	want := []Recipient{{Address: "b@x", Original: "b@x", ORcpt: "rfc822;b@x"}}
	if diff := cmp.Diff(want, got.Envelope.Recipients); diff != "" || len(got.Done) != 0 {
		t.Errorf("done %q, recipients\n%s", got.Done, diff)
	}
}

func FuzzInspect(f *testing.F) {
	data, _, err := Build(Envelope{Sender: "s@x", Recipients: []Recipient{{Address: "a@x"}}}, strings.NewReader("x\n"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(bytes.Replace(data, []byte("0 "), []byte("x "), 3))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, data, 0o700); err != nil {
			t.Fatal(err)
		}
		file, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		in, err := Inspect(file)
		if err == nil && in.DataOffset <= 0 {
			t.Error("no offset")
		}
	})
}
