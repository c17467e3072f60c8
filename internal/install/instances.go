package install

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"postlmtp/internal/config"
	"postlmtp/internal/maincf"
)

// usedElsewhere tells whether an instance of Postfix with another configuration
// directory than ours runs a program. One that cannot be read may do so.
func usedElsewhere(program, ours, primary string) bool {
	dirs := []string{primary}
	for _, dir := range []string{primary, ours} {
		dirs = append(dirs, instances(dir)...)
	}
	return slices.ContainsFunc(dirs, func(dir string) bool { return filepath.Clean(dir) != filepath.Clean(ours) && uses(dir, program) })
}

// instances lists the configuration directories that the main.cf of the first
// instance names.
func instances(dir string) []string {
	values := maincf.NewValues()
	if _, err := values.ReadFile(filepath.Join(dir, "main.cf")); err != nil {
		return nil
	}
	var list []string
	for _, param := range []string{"multi_instance_directories", "alternate_config_directories"} {
		e, _ := values.Get(param)
		text, err := maincf.Expand(e.Text, func(name string) (string, bool) {
			e, ok := values.Get(name)
			return e.Text, ok
		})
		if err == nil {
			list = append(list, strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })...)
		}
	}
	return list
}

// uses tells whether a service of a configuration runs a program.
func uses(dir, program string) bool {
	services, _, err := maincf.ReadMaster(filepath.Join(dir, "master.cf"))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	c, _, _ := config.Load(config.Options{Dir: dir})
	return slices.ContainsFunc(services, func(s maincf.Service) bool {
		return s.Program() == filepath.Base(program) && (c == nil || filepath.Join(c.DaemonDirectory, s.Command) == filepath.Clean(program))
	})
}

// running tells whether a master(8) runs over a queue: it holds the lock of its
// pid file. What cannot be found out counts as running.
func running(queue string) bool {
	fd, err := unix.Open(filepath.Join(queue, "pid/master.pid"), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err != unix.ENOENT
	}
	defer unix.Close(fd)
	return unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB) != nil
}
