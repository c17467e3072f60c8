package permit

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// stranger owns nothing.
func stranger() Account { return Account{Name: "postfix", UID: 54321, Groups: []int{54321}} }

func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	// The directories above belong to the test.
	for up := dir; up != "/" && up != os.TempDir(); up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{"open": 0o755, "closed": 0o700} {
		if err := os.Mkdir(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
		for socket, mode := range map[string]os.FileMode{"all": 0o666, "own": 0o600} {
			path := filepath.Join(dir, name, socket)
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	for link, target := range map[string]string{"abs": "/open/all", "rel": "open/../open/own", "loop": "loop", "gone": "nothing"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLook(t *testing.T) {
	dir := tree(t)
	tests := []struct {
		name, root, dir, path string
		account               Account
		reaches               bool
		closed                string // below dir
		err                   error
	}{
		{"open", "", dir, "open/all", stranger(), true, "", nil},
		{"socket of others", "", dir, "open/own", stranger(), false, "open/own", nil},
		{"directory of others", "", dir, "closed/all", stranger(), false, "closed", nil},
		{"root", "", dir, "closed/own", Account{Name: "root"}, true, "", nil},
		{"missing", "", dir, "open/none", stranger(), false, "", fs.ErrNotExist},
		{"missing directory", "", dir, "none/all", stranger(), false, "", fs.ErrNotExist},
		{"no directory", "", dir, "open/all/x", stranger(), false, "open/all", syscall.ENOTDIR},
		{"absolute in the jail", dir, dir, "/open/all", stranger(), true, "", nil},
		{"out of the jail", dir, dir, "/../../open/all", stranger(), true, "", nil},
		{"absolute link in the jail", dir, dir, "abs", stranger(), true, "", nil},
		{"absolute link, no jail", "", dir, "abs", stranger(), false, "", fs.ErrNotExist},
		{"relative link", "", dir, "rel", stranger(), false, "open/own", nil},
		{"loop", "", dir, "loop", stranger(), false, "", syscall.ELOOP},
		{"dangling link", "", dir, "gone", stranger(), false, "", fs.ErrNotExist},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := Look(tt.account, tt.root, tt.dir, tt.path)
			if w.Reaches() != tt.reaches {
				t.Errorf("reaches: %v\n%v", w.Reaches(), w.Parts)
			}
			if !errors.Is(w.Err, tt.err) {
				t.Errorf("error %v, want %v", w.Err, tt.err)
			}
			closed := ""
			if p := w.Closed(); p != nil {
				closed, _ = filepath.Rel(dir, p.Path)
				if w.Cure(p) == "" {
					t.Error("no cure")
				}
			}
			if closed != tt.closed {
				t.Errorf("closed at %q, want %q", closed, tt.closed)
			}
		})
	}
}

func TestMay(t *testing.T) {
	a := Account{UID: 10, Groups: []int{20, 21}}
	for _, tt := range []struct {
		uid, gid int
		mode     fs.FileMode
		need     string
		want     bool
	}{
		{10, 0, 0o200, "w", true},
		{10, 20, 0o022, "w", false}, // the owner's bits alone count for the owner
		{0, 21, 0o020, "w", true},
		{0, 21, 0o002, "w", false},
		{0, 0, 0o002, "w", true},
		{0, 0, 0o001, "x", true},
		{0, 0, 0o770, "x", false},
	} {
		if got := a.may(Part{UID: tt.uid, GID: tt.gid, Mode: tt.mode, Need: tt.need}); got != tt.want {
			t.Errorf("%d:%d %v %s: %v", tt.uid, tt.gid, tt.mode, tt.need, got)
		}
	}
}
