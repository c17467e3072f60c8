package config

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"postlmtp/internal/maincf"
)

// fields returns the path of each field of Config by its address, such as
// "LMTP.TCPPort".
func fields(c *Config) map[any]string {
	all := map[any]string{}
	var walk func(v reflect.Value, prefix string)
	walk = func(v reflect.Value, prefix string) {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			if f.Type.Kind() == reflect.Struct {
				walk(v.Field(i), f.Name+".")
				continue
			}
			all[v.Field(i).Addr().Interface()] = prefix + f.Name
		}
	}
	walk(reflect.ValueOf(c).Elem(), "")
	return all
}

func TestTable(t *testing.T) {
	c := new(Config)
	free := fields(c)
	names := map[string]bool{}
	for _, p := range table(c) {
		if names[p.Name] {
			t.Errorf("%s: two rows", p.Name)
		}
		names[p.Name] = true
		if _, ok := free[p.field]; !ok {
			t.Errorf("%s: its field is not in Config, or has another row", p.Name)
		}
		delete(free, p.field)
		if p.Doc == "" || strings.ContainsAny(p.Doc, "\n") || strings.HasSuffix(p.Doc, ".") {
			t.Errorf("%s: documentation %q", p.Name, p.Doc)
		}
		if p.Kind == Time && maincf.TimeUnit(p.newest) == 0 {
			t.Errorf("%s: default %q has no unit", p.Name, p.newest)
		}
		if p.Missing != "" && p.NoEffect {
			t.Errorf("%s: both missing and no effect", p.Name)
		}
		if _, ok := parseRelease(p.Since); p.Since != "" && p.Since != "postlmtp" && !ok {
			t.Errorf("%s: since %q", p.Name, p.Since)
		}
		for i, o := range p.older {
			if i > 0 && !p.older[i-1].before.less(o.before) {
				t.Errorf("%s: older defaults are not in order", p.Name)
			}
		}
	}
	for _, path := range free {
		t.Errorf("field %s has no row", path)
	}
	lmtp, ours := 0, 0
	for name := range names {
		switch {
		case strings.HasPrefix(name, "lmtp_"):
			lmtp++
		case strings.HasPrefix(name, "postlmtp_"):
			ours++
		}
	}
	// Of the 248 parameters that lmtp(8) reads 112 are its own; 8 more of
	// Postfix are for our purposes.
	if lmtp != 112 || len(names)-ours != 248+8 {
		t.Errorf("%d parameters, %d of them lmtp_*", len(names), lmtp)
	}
}

// readHere lists parameters that this package itself acts on, and those that are
// read by their name.
func readHere() map[string]bool {
	here := map[string]bool{}
	for _, name := range []string{
		"compatibility_level", "mail_version", "process_name", "service_name", "multi_instance_name",
		"mydomain", "relay_domains", "default_delivery_status_filter", // in defaults
		"maillog_file_prefixes",                                                                                  // check
		"lmtp_host_lookup", "lmtp_dns_support_level", "disable_dns_lookups", "inet_protocols", "known_tcp_ports", // methods of Config
		"multi_instance_directories", // by internal/install, in any main.cf
	} {
		here[name] = true
	}
	return here
}

// TestEveryRowIsRead holds the marks of rows to what the program does: a
// parameter is read by some other package, or the row says that it is not.
func TestEveryRowIsRead(t *testing.T) {
	used := usedFields(t)
	here := readHere()
	c := new(Config)
	paths := fields(c)
	for _, p := range table(c) {
		read := used[paths[p.field]] || here[p.Name]
		switch {
		case read && p.NoEffect:
			t.Errorf("%s: the row says noEffect, but %s is read", p.Name, paths[p.field])
		case read && p.Missing != "":
			t.Errorf("%s: the row says missing, but %s is read: remove the mark", p.Name, paths[p.field])
		case !read && p.Missing == "" && !p.NoEffect:
			t.Errorf("%s: nothing reads %s, and the row does not say so", p.Name, paths[p.field])
		}
	}
}

// usedFields returns the selectors X and LMTP.X in all packages that import
// this one.
func usedFields(t *testing.T) map[string]bool {
	used := map[string]bool{}
	packages := map[string][]*ast.File{}
	importing := map[string]bool{}
	set := token.NewFileSet()
	for _, root := range []string{"../../internal", "../../cmd"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			dir := filepath.Dir(path)
			if dir == "../../internal/config" {
				return nil
			}
			file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			packages[dir] = append(packages[dir], file)
			for _, i := range file.Imports {
				if name, _ := strconv.Unquote(i.Path.Value); name == "postlmtp/internal/config" {
					importing[dir] = true
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for dir := range importing {
		for _, file := range packages[dir] {
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					used[s.Sel.Name] = true
					if outer, ok := s.X.(*ast.SelectorExpr); ok {
						used[outer.Sel.Name+"."+s.Sel.Name] = true
					}
				}
				return true
			})
		}
	}
	if len(importing) == 0 {
		t.Skip("no package imports this one")
	}
	return used
}
