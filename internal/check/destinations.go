package check

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"postlmtp/internal/maincf"
	"postlmtp/internal/nexthop"
)

// transports are the parameters whose value is transport:destination.
func transports() []string {
	return []string{"local_transport", "virtual_transport", "relay_transport", "default_transport", "error_transport",
		"mailbox_transport", "fallback_transport", "content_filter", "address_verify_local_transport",
		"address_verify_virtual_transport", "address_verify_relay_transport", "address_verify_default_transport"}
}

// transportTables are the parameters whose tables have such values.
func transportTables() []string {
	return []string{"transport_maps", "mailbox_transport_maps", "fallback_transport_maps",
		"sender_dependent_default_transport_maps", "address_verify_transport_maps"}
}

// destinations looks at the destinations that name a transport.
func (c *checker) destinations() {
	for _, r := range c.routes() {
		c.route(r.text, r.value, r.file, r.line)
	}
}

// aRoute is one place that names a transport.
type aRoute struct {
	param, text, value, file string
	line                     int
}

// routes finds the places that name a transport.
func (c *checker) routes() []aRoute {
	list := slices.DeleteFunc(c.overrides(), func(r aRoute) bool { return !slices.Contains(transports(), r.param) })
	for _, param := range transports() {
		e, ok := c.values.Get(param)
		if !ok {
			continue
		}
		if text, err := maincf.Expand(e.Text, c.lookup); err == nil {
			text = strings.TrimSpace(text)
			list = append(list, aRoute{param, param + " = " + text, text, e.File, e.Line})
		}
	}
	for _, param := range transportTables() {
		for _, spec := range c.tableNames(param) {
			for _, entry := range source(spec) {
				if param == "sender_dependent_default_transport_maps" && strings.EqualFold(entry.value, "DUNNO") {
					continue // default_transport
				}
				list = append(list, aRoute{param, entry.key + " " + entry.value, entry.value, entry.file, entry.line})
			}
		}
	}
	return list
}

// overrides lists the parameters that services set for themselves (option -o).
func (c *checker) overrides() []aRoute {
	var list []aRoute
	for _, s := range c.services {
		set, _ := s.Overrides() // a mistake is reported when the service is loaded
		for _, o := range set {
			if text, err := maincf.Expand(o.Value, c.lookup); err == nil {
				list = append(list, aRoute{o.Name, "-o " + o.Name + "=" + text, text, s.File, s.Line})
			}
		}
	}
	return list
}

// Users lists the places that send mail to a service, as "file:line: text": those
// that name a transport, and all other values that have the name and a colon, as
// static: tables and FILTER actions do.
func Users(dir, service string) []string {
	c := &checker{opt: Options{Dir: dir}}
	if !c.load() {
		return nil
	}
	mentions := regexp.MustCompile(`(^|[^A-Za-z0-9_.-])` + regexp.QuoteMeta(service) + ":")
	found := slices.DeleteFunc(c.routes(), func(r aRoute) bool {
		name, _, _ := strings.Cut(r.value, ":")
		return strings.TrimSpace(name) != service
	})
	others := c.overrides()
	for _, name := range c.values.Names() {
		e, _ := c.values.Get(name)
		others = append(others, aRoute{name, name + " = " + e.Text, e.Text, e.File, e.Line})
	}
	for _, r := range others {
		if mentions.MatchString(r.value) && !slices.ContainsFunc(found, func(f aRoute) bool { return f.file == r.file && f.line == r.line }) {
			found = append(found, r)
		}
	}
	var list []string
	for _, r := range found {
		list = append(list, fmt.Sprintf("%s:%d: %s", r.file, r.line, r.text))
	}
	return list
}

// route looks at one transport:destination.
func (c *checker) route(text, value, file string, line int) {
	name, dest, _ := strings.Cut(value, ":")
	name, dest = strings.TrimSpace(name), strings.TrimSpace(dest)
	if name == "" || strings.Contains(name, "$") {
		return // the default transport; or the part of an address that a pattern matches
	}
	var names []string
	for _, s := range c.services {
		names = append(names, s.Name)
	}
	if !slices.Contains(names, name) {
		fix := "correct the name, or add the service to master.cf"
		if name == "unix" || name == "inet" {
			fix = "put the name of the service in front: lmtp:" + value
		} else if right := nearest(name, names); right != "" {
			fix = "did you mean " + right + ":" + dest + "?"
		}
		c.found(Finding{Number: "PL041", File: file, Line: line, Text: fmt.Sprintf("%s: there is no service %s in master.cf: its mail waits", text, name), Fix: fix})
		return
	}
	for _, t := range c.targets {
		if t.service.Name == name && t.tool != nil && dest != "" && !strings.Contains(dest, "$") {
			c.destination(t, text, place{dest, file, line})
		}
	}
}

// destination parses a destination with the daemon's parser.
func (c *checker) destination(t *target, text string, p place) {
	n, err := t.tool.Delivery.Parse(p.nexthop)
	if err == nil {
		err = n.Err()
	}
	if err != nil {
		fix := "write unix:PATH, inet:HOST:PORT, inet:[ADDRESS]:PORT or a list of such hosts"
		var hinted interface{ Hint() string }
		if d, ok := err.(*nexthop.DestinationError); ok {
			hinted = d
		}
		if hinted != nil && hinted.Hint() != "" {
			fix = hinted.Hint()
		}
		c.found(Finding{Number: "PL040", Service: t.service.Name, File: p.file, Line: p.line, Text: text + ": " + err.Error(), Fix: fix})
		return
	}
	if n.IsUnix() {
		t.sockets = append(t.sockets, place{n.Unix().Path, p.file, p.line})
		return
	}
	for _, e := range n.Elements {
		t.hosts = append(t.hosts, place{e.Host, p.file, p.line})
	}
}

// tableNames lists the tables of a parameter, as type:name.
func (c *checker) tableNames(param string) []string {
	e, ok := c.values.Get(param)
	if !ok {
		return nil
	}
	text, err := maincf.Expand(e.Text, c.lookup)
	if err != nil {
		return nil
	}
	return tableWords(text)
}

// tableWords finds words of the form type:/file in a value.
func tableWords(text string) []string {
	var list []string
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) }) {
		word = strings.Trim(word, "{}")
		for strings.HasPrefix(word, "proxy:") {
			word = word[len("proxy:"):]
		}
		if kind, name, ok := strings.Cut(word, ":"); ok && kind != "" && strings.HasPrefix(name, "/") {
			list = append(list, word)
		}
	}
	return list
}

// suffixes are the ends of the names of indexed files.
func suffixes() map[string]string {
	return map[string]string{"hash": ".db", "btree": ".db", "lmdb": ".lmdb", "cdb": ".cdb", "dbm": ".pag", "sdbm": ".pag"}
}

// entry is a line of the source of a table.
type entry struct {
	key, value, file string
	line             int
}

// maxSource bounds the source of a table that is looked at.
const maxSource = 64 << 20

// source reads the text that a table is made of, if there is one.
func source(spec string) []entry {
	kind, name, _ := strings.Cut(spec, ":")
	_, indexed := suffixes()[kind]
	if !indexed && !slices.Contains([]string{"texthash", "regexp", "pcre", "cidr"}, kind) {
		return nil
	}
	info, err := os.Stat(name)
	if err != nil || info.Size() > maxSource {
		return nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	var list []entry
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimRight(line, "\r\n")
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || strings.HasPrefix(trimmed, "#"):
		case (line[0] == ' ' || line[0] == '\t') && len(list) > 0: // goes on
			last := &list[len(list)-1]
			last.value = strings.TrimSpace(last.value + " " + trimmed)
		default:
			list = append(list, split(kind, trimmed, name, number))
		}
	}
	return slices.DeleteFunc(list, func(e entry) bool { return e.line == 0 || e.value == "" })
}

// split splits a line into key and value. Conditions (if, endif) are no entries.
func split(kind, line, file string, number int) entry {
	at := strings.IndexAny(line, " \t")
	patterns := kind == "regexp" || kind == "pcre"
	if word := line[:max(at, 0)]; (patterns || kind == "cidr") && strings.EqualFold(word, "if") {
		return entry{}
	}
	if patterns {
		at = afterPattern(line)
	}
	if at < 0 {
		return entry{line, "", file, number}
	}
	return entry{strings.TrimSpace(line[:at]), strings.TrimSpace(line[at:]), file, number}
}

// afterPattern returns where the first blank behind a pattern and its flags is,
// -1 if there is none: /pattern/flags, with any delimiter, and ! in front.
func afterPattern(line string) int {
	start := len(line) - len(strings.TrimLeft(line, "! \t"))
	if start >= len(line) {
		return -1
	}
	for i := start + 1; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case line[start]:
			blank := strings.IndexAny(line[i:], " \t")
			if blank < 0 {
				return -1
			}
			return i + blank
		}
	}
	return -1
}

// tables reports indexed files that are older than their source, of all
// parameters that have to do with this transport. What the daemon itself opens
// it has looked at already.
func (c *checker) tables() {
	for _, param := range transportTables() {
		for _, spec := range c.tableNames(param) {
			kind, name, _ := strings.Cut(spec, ":")
			suffix, indexed := suffixes()[kind]
			text, err := os.Stat(name)
			if !indexed || err != nil {
				continue
			}
			index, err := os.Stat(name + suffix)
			switch {
			case err != nil:
				c.at("PL051", param, "", fmt.Sprintf("%s = %s: %s%s cannot be opened: all mail is deferred", param, spec, name, suffix), "postmap "+spec)
			case text.ModTime().After(index.ModTime()):
				c.at("PL050", param, "", fmt.Sprintf("%s%s is older than %s: changes do not count yet", name, suffix, name), "postmap "+spec)
			}
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
