package hotfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestHot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for age, want := range map[time.Duration]bool{
			0: true, time.Second: true, 2 * time.Second: false, time.Hour: false, -2 * time.Second: false,
		} {
			if got := Hot(now.Add(-age), now); got != want {
				t.Errorf("%v old: %v", age, got)
			}
		}
	})
}

// write writes a file of the given age by the clock of the test.
func write(t *testing.T, path, text string, age time.Duration) {
	t.Helper()
	then := time.Now().Add(-age)
	if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, then, then)); err != nil {
		t.Error(err)
	}
}

// TestSettled: what is half written does not count.
func TestSettled(t *testing.T) {
	for _, tt := range []struct {
		name    string
		age     time.Duration // of the first half
		settled bool
		want    string
		after   time.Duration // at most a pause less
	}{
		{"just now", 0, true, "abc", 2700 * time.Millisecond},
		{"a second ago", time.Second, true, "abc", 2700 * time.Millisecond},
		{"long ago", 3 * time.Second, true, "a", 0},
		{"in the future", -time.Hour, true, "a", 0},
		{"not asked for", 0, false, "a", 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			write(t, path, "a", tt.age)
			start := time.Now()
			done := make(chan struct{})
			go func() {
				defer close(done)
				time.Sleep(400 * time.Millisecond)
				write(t, path, "ab", 0)
				time.Sleep(400 * time.Millisecond)
				write(t, path, "abc", 0)
			}()
			text, err := Read(path, 100, tt.settled)
			if err != nil {
				t.Fatal(err)
			}
			defer text.File.Close()
			passed := time.Since(start)
			if string(text.Data) != tt.want || passed > tt.after || passed < tt.after-pause || text.Stat.Size() != int64(len(tt.want)) {
				t.Errorf("%s: %q after %v", tt.name, text.Data, passed)
			}
			<-done
		})
	}
}

// TestChanging: a file changes while it is read, again and again. It is waited for,
// but not for ever.
func TestChanging(t *testing.T) {
	for _, tt := range []struct {
		name    string
		settled bool
		changes int
		want    time.Duration // of waiting; -1: in vain
	}{
		{"once", false, 1, pause},
		{"often", false, 12, 12 * pause},
		{"often, and then it is hot", true, 12, 16 * pause},
		{"always", false, 1000, -1},
		{"always, settled", true, 1000, -1},
	} {
		synctest.Test(t, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			write(t, path, "", time.Hour)
			reads := 0
			start := time.Now()
			text, err := read(path, tt.settled, func(f *os.File) ([]byte, error) {
				data, err := io.ReadAll(f)
				if reads++; reads <= tt.changes {
					write(t, path, string(data)+"x", 0)
				}
				return data, err
			})
			passed := time.Since(start)
			if tt.want < 0 {
				if !errors.Is(err, ErrChanging) || passed != pauses*pause {
					t.Errorf("%s: %v after %v", tt.name, err, passed)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			defer text.File.Close()
			if string(text.Data) != strings.Repeat("x", tt.changes) || passed < tt.want || passed > tt.want+5*pause {
				t.Errorf("%s: %q after %v", tt.name, text.Data, passed)
			}
		})
	}
}

// TestAlwaysHot: somebody writes to a file all the time.
func TestAlwaysHot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		write(t, path, "a", 0)
		start := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for time.Since(start) < time.Minute {
				time.Sleep(pause - 1)
				write(t, path, "a", 0)
			}
		}()
		text, err := Read(path, 100, true)
		if err != nil || string(text.Data) != "a" || time.Since(start) != pauses*pause {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		text.File.Close()
		<-done
	})
}

func TestErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if _, err := Read(path, 100, true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	write(t, path, strings.Repeat("x", 100), time.Hour)
	text, err := Read(path, 100, true)
	if err != nil || len(text.Data) != 100 {
		t.Fatal(err)
	}
	text.File.Close()
	if _, err := Read(path, 99, true); err == nil || err.Error() != "file is larger than 99 bytes" {
		t.Errorf("large: %v", err)
	}
	var failure *fs.PathError
	if _, err := Read(filepath.Dir(path), 100, true); !errors.As(err, &failure) {
		t.Errorf("directory: %v", err)
	}
}
