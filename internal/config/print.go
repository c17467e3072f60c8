package config

import (
	"fmt"
	"io"
	"sort"
)

// Print writes "name = value" for each of the named parameters, expanded, as
// "postconf -x" does; for all parameters in the table, sorted by name, if
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
		line := name + " = " + value
		if value == "" {
			line = name + " ="
		}
		if _, err = fmt.Fprintln(w, line); err != nil {
			return unknown, err
		}
	}
	return unknown, nil
}
