package config

// group is a part of the table with a heading for the documentation.
type group struct {
	title string
	rows  []*Param
}

// groups returns the whole table, bound to the fields of c.
func groups(c *Config) []group {
	return []group{
		{"Processes and paths", processRows(c)},
		{"Logging", loggingRows(c)},
		{"Names of this machine and of domains", namesRows(c)},
		{"Destinations", destinationRows(c)},
		{"Connection reuse", reuseRows(c)},
		{"Timeouts of the dialog", timeoutRows(c)},
		{"The dialog", dialogRows(c)},
		{"Content", contentRows(c)},
		{"Outcome of a delivery", outcomeRows(c)},
		{"The queue", queueRows(c)},
		{"Authentication", saslRows(c)},
		{"TLS", tlsRows(c)},
		{"TLS library", tlslibRows(c)},
		{"Lookup tables", tableRows(c)},
	}
}

func table(c *Config) []*Param {
	var all []*Param
	for _, g := range groups(c) {
		all = append(all, g.rows...)
	}
	return all
}

// Params returns the table of all parameters, in the order of the
// documentation. The caller owns the result.
func Params() []*Param { return table(new(Config)) }
