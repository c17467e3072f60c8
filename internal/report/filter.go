package report

import "postlmtp/internal/dsn"

// A Filter may replace the code and the text of an outcome. It is asked once,
// before anything else is decided. With ok false the outcome stays as it is.
type Filter func(status, reason string) (newStatus, newReason string, ok bool)

// Lookup makes a Filter of a table: the key is the code and the text with a
// space between, the value is a code, which a text may follow. A value without
// a text leaves the text as it is. A value without a code has no effect but a
// warning.
func Lookup(find func(key string) (value string, ok bool)) Filter {
	return func(status, reason string) (string, string, bool) {
		value, ok := find(status + " " + reason)
		if !ok {
			return "", "", false
		}
		if code, text, isCode := dsn.Split(value); isCode {
			return code, text, true
		}
		return value, "", true
	}
}

// filtered applies the filter. It may turn a bounce into a deferral and the
// other way round, but not a success into a failure or a failure into a
// success.
func (r *Reporter) filtered(d dsn.Diagnosis) dsn.Diagnosis {
	if r.options.Filter == nil {
		return d
	}
	status, reason, ok := r.options.Filter(d.Status, d.Reason)
	if !ok {
		return d
	}
	class := dsn.Class(status)
	if class == 0 || (class == dsn.Success) != (dsn.Class(d.Status) == dsn.Success) {
		if reason != "" {
			status += " " + reason
		}
		// The title is this one in the LMTP client as well.
		r.options.Log.Warningf("smtp_delivery_status_filter: bad status code: %s", status)
		return d
	}
	d.Status = status
	if reason != "" {
		d.Reason = reason
	}
	switch class {
	case dsn.Transient:
		d.Action = "delayed"
	case dsn.Permanent:
		d.Action = "failed"
	}
	return d
}
