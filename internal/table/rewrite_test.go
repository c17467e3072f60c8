package table_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postlmtp/internal/table"
)

// TestRewritten: while postmap makes a table again and again, and changes
// single entries of it, lookups find what was never changed. Files that are
// replaced keep their old contents.
func TestRewritten(t *testing.T) {
	for _, kind := range []string{"hash", "btree", "lmdb", "cdb"} {
		t.Run(kind, func(t *testing.T) {
			hasType(t, kind)
			path := filepath.Join(t.TempDir(), "table")
			config := configDir(t)
			rewrite := func(round int) {
				var b strings.Builder
				for i := range 500 {
					fmt.Fprintf(&b, "always%d value%d\n", i, i)
				}
				for i := range 500 * (round % 3) {
					fmt.Fprintf(&b, "sometimes%d.%d %s\n", round, i, strings.Repeat("x", i%200+1))
				}
				write(t, path, b.String())
				if out, err := exec.Command(postfixTool(t, "postmap"), "-c", config, kind+":"+path).CombinedOutput(); err != nil {
					t.Errorf("postmap: %v\n%s", err, out)
				}
				if kind == "cdb" {
					return
				}
				update := exec.Command(postfixTool(t, "postmap"), "-c", config, "-i", kind+":"+path)
				update.Stdin = strings.NewReader("extra value\nextra2 " + strings.Repeat("y", 5000) + "\n")
				if out, err := update.CombinedOutput(); err != nil {
					t.Errorf("postmap -i: %v\n%s", err, out)
				}
			}
			rewrite(0)
			set := newSet(nil)
			defer set.Close()
			opened, err := set.Open(kind+":"+path, postmapFlags|table.Lock)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			var readers sync.WaitGroup
			for range 3 {
				readers.Go(func() {
					for i := 0; ; i++ {
						select {
						case <-done:
							return
						default:
						}
						key := fmt.Sprintf("always%d", i%500)
						value, found, err := opened.Lookup(context.Background(), key)
						if want := fmt.Sprintf("value%d", i%500); err != nil || !found || value != want {
							t.Errorf("%s: %q, %v, %v", key, value, found, err)
							return
						}
						time.Sleep(100 * time.Microsecond) // the locks are not fair
					}
				})
			}
			for round := range 12 {
				rewrite(round)
			}
			close(done)
			readers.Wait()
			_, found, err := opened.Lookup(context.Background(), "extra")
			if err != nil || found != (kind != "cdb") {
				t.Errorf("extra: %v, %v", found, err)
			}
			if _, changed := set.Changed(); changed != (kind != "lmdb") {
				t.Errorf("changed %v", changed)
			}
		})
	}
}

// TestLocked: a lookup waits for a writer, as long as it may.
func TestLocked(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(golden(t), "hash.db"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "table")
	write(t, path+".db", string(data))
	opened, _ := open(t, "hash:"+path, true)
	writer, err := os.OpenFile(path+".db", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if err := unix.Flock(int(writer.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, found, err := opened.Lookup(ctx, "z"); found || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("locked: %v, %v", found, err)
	}
	if err := unix.Flock(int(writer.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if _, found, err := opened.Lookup(context.Background(), "z"); !found || err != nil {
		t.Errorf("unlocked: %v, %v", found, err)
	}
}
