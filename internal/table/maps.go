package table

import (
	"context"
	"errors"
)

// Maps is an ordered list of tables, the value of a parameter such as
// lmtp_sasl_password_maps.
type Maps struct {
	param  string
	tables []Table
	log    Logger
}

// OpenMaps opens the tables of a list "type:name, type:name". The parameter's
// name is for the log.
func (s *Set) OpenMaps(param, list string, flags Flags) (*Maps, error) {
	m := &Maps{param: param, log: s.opt.Log}
	for _, spec := range Split(list) {
		t, err := s.Open(spec, flags)
		if err != nil {
			return nil, err
		}
		m.tables = append(m.tables, t)
	}
	return m, nil
}

// Empty reports whether the list has no tables. A nil Maps is empty.
func (m *Maps) Empty() bool { return m == nil || len(m.tables) == 0 }

// Tables returns the tables in their order. The caller must not change it.
func (m *Maps) Tables() []Table { return m.tables }

// errEmpty is the error for a table that answers with nothing.
var errEmpty = errors.New("returns an empty string result")

// Find asks the tables one after the other and returns the first answer. The
// first error ends the search: it is logged here, and returned. An answer that
// is an empty text is an error too. The empty key is never found.
func (m *Maps) Find(ctx context.Context, key string) (value string, found bool, err error) {
	return m.find(ctx, key, false)
}

// FindFixed is Find without the tables whose keys are patterns, for keys that
// are part of a name only.
func (m *Maps) FindFixed(ctx context.Context, key string) (value string, found bool, err error) {
	return m.find(ctx, key, true)
}

func (m *Maps) find(ctx context.Context, key string, fixedOnly bool) (string, bool, error) {
	if m == nil || key == "" {
		return "", false, nil
	}
	for _, t := range m.tables {
		if fixedOnly && !t.Fixed() {
			continue
		}
		value, found, err := t.Lookup(ctx, key)
		switch {
		case err != nil:
			m.log.Warningf("%v lookup error for \"%s\"", t, key)
			return "", false, err
		case found && value == "":
			m.log.Warningf("%s lookup of %s returns an empty string result", m.param, key)
			m.log.Warningf("%s should return NO RESULT in case of NOT FOUND", m.param)
			return "", false, &Error{Table: t.String(), Config: true, Err: errEmpty}
		case found:
			return value, true, nil
		}
	}
	return "", false, nil
}
