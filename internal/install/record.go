package install

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"postlmtp/internal/config"
	"postlmtp/internal/maincf"
)

// A Record says what one installation has done, so that it can be undone.
type Record struct {
	Service string       `json:"service"`
	Program string       `json:"program"`
	When    time.Time    `json:"when"`
	Undo    [][]string   `json:"undo"` // arguments of postconf
	Files   []FileRecord `json:"files"`
}

// A FileRecord is a file before and after.
type FileRecord struct {
	Path   string `json:"path"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// State is all records of one configuration directory.
type State struct {
	Records []Record `json:"records"`
	// Copied are the programs that an installation has put where there was
	// none. Others belong to a package.
	Copied []string `json:"copied,omitempty"`
}

// stateFile is the file of the State. It is for root alone, as main.cf may be.
const stateFile = "postlmtp-install.json"

// maxState bounds the file.
const maxState = 64 << 20

func readState(dir string) (State, error) {
	var s State
	path := filepath.Join(dir, stateFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if info.Size() > maxState {
		return s, fmt.Errorf("%s is too large", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// writeState writes the records; the file of none is removed.
func writeState(dir string, s State) error {
	path := filepath.Join(dir, stateFile)
	if len(s.Records) == 0 {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(path, append(data, '\n'), 0o600, -1, -1)
}

// Installed lists the services that were installed into a configuration.
func Installed(dir string) ([]string, error) {
	s, err := readState(dir)
	var list []string
	for _, r := range s.Records {
		list = append(list, r.Service)
	}
	return list, err
}

// Removal makes the plan that undoes an installation.
func Removal(dir, service string) (*Plan, error) { return removal(dir, service, config.DefaultDir) }

// removal is Removal with the directory of the first instance.
func removal(dir, service, primary string) (*Plan, error) {
	state, err := readState(dir)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(state.Records, func(r Record) bool { return r.Service == service })
	if i < 0 {
		return nil, fmt.Errorf("service %s was not installed by postlmtp install (%s has nothing about it)", service, filepath.Join(dir, stateFile))
	}
	c, _, err := config.Load(config.Options{Dir: dir})
	if c == nil {
		return nil, err
	}
	r := state.Records[i]
	p := &Plan{Dir: dir, Service: service, postconf: postconfPath(c), queue: c.QueueDirectory, record: r, removal: true,
		keep: State{slices.Delete(slices.Clone(state.Records), i, i+1), state.Copied}, Exact: true,
		Program: Program{To: r.Program, Action: "remove"}}
	p.undo = true
	for _, f := range r.Files {
		data, err := os.ReadFile(f.Path)
		if err != nil {
			return nil, err
		}
		now := string(data)
		p.Exact = p.Exact && (now == f.After || now == f.Before)
		then, ok := reverse(f.Before, f.After, now)
		p.undo = p.undo && ok
		p.change(f.Path, now, then)
	}
	if !p.undo {
		p.Files, p.Commands = nil, r.Undo
		if err := p.preview(); err != nil {
			return nil, err
		}
	}
	p.keepProgram(primary)
	return p, nil
}

// keepProgram leaves our file where somebody still needs it, or a package put it.
func (p *Plan) keepProgram(primary string) {
	after := ""
	for _, f := range p.Files {
		if filepath.Base(f.Path) == "master.cf" {
			after = f.After
		}
	}
	services, _, err := maincf.ParseMaster(strings.NewReader(after), "master.cf")
	name := filepath.Base(p.Program.To)
	used := slices.ContainsFunc(services, func(s maincf.Service) bool { return s.Program() == name })
	copied := slices.Contains(p.keep.Copied, p.Program.To)
	if err != nil || used || !copied || !IsOurs(p.Program.To) || usedElsewhere(p.Program.To, p.Dir, primary) {
		p.Program.Action = "keep"
	}
}

// remove undoes an installation. Our file goes last: a service that still runs
// it is not left without.
func (p *Plan) remove() error {
	var err error
	if p.undo {
		for _, f := range p.Files {
			if f.Before != f.After {
				err = errors.Join(err, rewrite(f.Path, f.After))
			}
		}
	} else if err = p.run(p.Dir); err != nil {
		return errors.Join(err, p.restore())
	}
	if err != nil {
		return err
	}
	if p.Program.Action == "remove" {
		p.keep.Copied = slices.DeleteFunc(slices.Clone(p.keep.Copied), func(path string) bool { return path == p.Program.To })
	}
	if err := writeState(p.Dir, p.keep); err != nil {
		return err
	}
	if p.Program.Action != "remove" {
		return nil
	}
	p.left = p.Program.To
	if running(p.queue) {
		return nil
	}
	return p.RemoveProgram()
}

// Left returns our file if a removal has left it, because master(8) runs it until
// it is reloaded: without it, all mail of the service would wait for a minute.
func (p *Plan) Left() string { return p.left }

// RemoveProgram removes what Left returns. It belongs after the reload.
func (p *Plan) RemoveProgram() error {
	path := p.left
	p.left = ""
	if path == "" {
		return nil
	}
	return os.Remove(path)
}

// reverse takes the lines that were changed between two texts back in a third
// one, which may have other changes. It fails where the lines are not found.
func reverse(before, after, now string) (string, bool) {
	if now == after || now == before { // before: the change was never made
		return before, true
	}
	list := edits(lines(after), lines(before))
	for i := 0; i < len(list); {
		if list[i].kind == ' ' {
			i++
			continue
		}
		var old, then strings.Builder
		front := "" // the line in front
		if i > 0 {
			front = list[i-1].text
		}
		for ; i < len(list) && list[i].kind != ' '; i++ {
			if list[i].kind == '-' {
				old.WriteString(list[i].text)
			} else {
				then.WriteString(list[i].text)
			}
		}
		find, put := "\n"+old.String(), "\n"+then.String()
		if old.Len() == 0 { // lines that are missing now go behind the one in front
			find, put = "\n"+front, "\n"+front+then.String()
		}
		text := "\n" + now
		at := strings.Index(text, find)
		if find != "\n" && (at < 0 || strings.Contains(text[at+1:], find)) {
			return "", false
		}
		if (old.Len() == 0 || then.Len() == 0) && goesOn(lines(text[at+len(find):])) != goesOn(textOf(list[i:])) {
			return "", false // somebody's own words would go to another entry
		}
		now = strings.Replace(text, find, put, 1)[1:]
	}
	return now, true
}

// goesOn returns the line that continues what is in front (postconf(5)), "" if
// none does: the first that is neither empty nor a comment, if it begins with a
// blank.
func goesOn(rest []string) string {
	for _, line := range rest {
		switch trimmed := strings.TrimSpace(line); {
		case trimmed == "" || trimmed[0] == '#':
		case line[0] == ' ' || line[0] == '\t':
			return line
		default:
			return ""
		}
	}
	return ""
}

// textOf are the lines of the first text, which the edits begin with.
func textOf(list []edit) []string {
	var all []string
	for _, e := range list {
		if e.kind != '+' {
			all = append(all, e.text)
		}
	}
	return all
}

// rewrite replaces a file by another with the same owner and mode.
func rewrite(path, text string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	uid, gid := -1, -1
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		uid, gid = int(st.Uid), int(st.Gid)
	}
	return replaceFile(path, []byte(text), info.Mode().Perm(), uid, gid)
}

// replaceFile writes a file under another name and renames it.
func replaceFile(path string, data []byte, mode fs.FileMode, uid, gid int) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // of no effect after the rename
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if uid >= 0 {
		if err := os.Chown(f.Name(), uid, gid); err != nil {
			return err
		}
	}
	if err := os.Chmod(f.Name(), mode); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Restores tells whether the plan is a removal that restores the same bytes.
func (p *Plan) Restores() bool { return p.removal && p.Exact }

// Drops tells whether a removal leaves no service of the name.
func (p *Plan) Drops() bool {
	return p.removal && slices.ContainsFunc(p.record.Undo, func(args []string) bool { return args[0] == "-MX" })
}
