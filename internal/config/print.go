package config

import (
	"fmt"
	"io"
	"sort"
	"strings"
)

// Print writes "name = value" for each of the named parameters, expanded and
// with white space reduced to single blanks, as "postconf -x" does; for all parameters in the table, sorted by name, if
// there are no names. It returns the names that neither the table nor main.cf
// has, which it leaves out, and the first write error.
func Print(w io.Writer, c *Config, names []string) (unknown []string, err error) {
	if len(names) == 0 {
		for _, p := range c.params {
			names = append(names, p.Name)
		}
		sort.Strings(names)
	}
	for _, name := range names {
		value, ok := c.Text(name)
		if !ok {
			unknown = append(unknown, name)
			continue
		}
		if _, err = fmt.Fprintf(w, "%s\n", oneLine(name+" = "+value)); err != nil {
			return unknown, err
		}
	}
	return unknown, nil
}

// oneLine reduces white space, such as that of continuation lines, to single
// blanks.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" \t\r\n", r) }), " ")
}
