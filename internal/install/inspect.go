package install

import (
	"crypto/sha256"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"postlmtp/internal/config"
	"postlmtp/internal/maincf"
)

// A Service is a line of master.cf that delivers by LMTP.
type Service struct {
	Name string `json:"service"`
	Type string `json:"type"`
	File string `json:"file"`
	Line int    `json:"line"`
	Text string `json:"command"` // the program and its arguments
	Ours bool   `json:"ours"`    // it runs this daemon, not Postfix's own

	Program *Binary `json:"program"`
	Undo    *Undo   `json:"undo,omitempty"` // nil: postlmtp install has not made it
	// Hidden: only root can see whether there is an Undo.
	Hidden bool `json:"undo_hidden,omitempty"`
}

// A Binary is a program in daemon_directory.
type Binary struct {
	Path     string    `json:"path"`
	Missing  bool      `json:"missing,omitempty"`
	Owner    string    `json:"owner,omitempty"`
	Group    string    `json:"group,omitempty"`
	Mode     string    `json:"mode,omitempty"`
	Modified time.Time `json:"modified,omitzero"`
	SHA256   string    `json:"sha256,omitempty"`
	Revision string    `json:"revision,omitempty"` // of the source, with + if that was changed
	Same     bool      `json:"same"`               // byte for byte the daemon that belongs to the tool
}

// An Undo says what postlmtp uninstall would do.
type Undo struct {
	When  time.Time `json:"installed"`
	Exact bool      `json:"exact"` // the files become what they were, to the byte
}

// Inspect lists the services of a configuration that run Postfix's lmtp or the
// daemon. Current is the daemon that installed ones are compared with; it may be
// empty.
func Inspect(dir, current string) ([]Service, error) {
	c, _, err := config.Load(config.Options{Dir: dir})
	if c == nil {
		return nil, err
	}
	lines, _, err := maincf.ReadMaster(filepath.Join(dir, "master.cf"))
	if err != nil {
		return nil, err
	}
	state, err := readState(dir)
	if err != nil && !errors.Is(err, fs.ErrPermission) { // it is for root alone
		return nil, err
	}
	hidden := err != nil
	sum := digest(current)
	list := []Service{}
	for _, s := range lines {
		path := filepath.Join(c.DaemonDirectory, s.Command)
		ours := IsOurs(path)
		if s.Program() != "lmtp" && !ours && s.Program() != usualName {
			continue
		}
		service := Service{Name: s.Name, Type: s.Type, File: s.File, Line: s.Line, Ours: ours,
			Text: strings.Join(append([]string{s.Command}, s.Args...), " "), Program: inspectBinary(path)}
		service.Program.Same = sum != "" && service.Program.SHA256 == sum
		if i := slices.IndexFunc(state.Records, func(r Record) bool { return r.Service == s.Name && s.Type == "unix" }); i >= 0 {
			service.Undo = &Undo{When: state.Records[i].When, Exact: state.Records[i].untouched()}
		}
		service.Hidden = hidden && ours
		list = append(list, service)
	}
	return list, nil
}

// usualName is the daemon's file name, unless the operator chose another.
const usualName = "postlmtp-lmtp"

// untouched tells whether nobody has changed the files since.
func (r Record) untouched() bool {
	return !slices.ContainsFunc(r.Files, func(f FileRecord) bool {
		data, err := os.ReadFile(f.Path)
		return err != nil || string(data) != f.After
	})
}

func digest(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

// inspectBinary looks at a program.
func inspectBinary(path string) *Binary {
	b := &Binary{Path: path}
	info, err := os.Stat(path)
	if err != nil {
		b.Missing = true
		return b
	}
	b.Mode, b.Modified, b.SHA256 = fmt.Sprintf("%04o", info.Mode().Perm()), info.ModTime().UTC().Truncate(time.Second), digest(path)
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		b.Owner, b.Group = strconv.Itoa(int(st.Uid)), strconv.Itoa(int(st.Gid))
		if u, err := user.LookupId(b.Owner); err == nil {
			b.Owner = u.Username
		}
		if g, err := user.LookupGroupId(b.Group); err == nil {
			b.Group = g.Name
		}
	}
	b.Revision = revision(path)
	return b
}

// revision is what the Go linker has written down about the source.
func revision(path string) string {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return ""
	}
	text := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			text = s.Value[:min(12, len(s.Value))] + text
		case s.Key == "vcs.modified" && s.Value == "true":
			text += "+"
		}
	}
	return text
}
