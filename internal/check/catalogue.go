package check

// A Kind is one kind of finding.
type Kind struct {
	Number   string   `json:"number"`
	Severity Severity `json:"severity"`
	Title    string   `json:"title"`
}

// Catalogue lists all kinds of findings. A number is never used for anything
// else.
func Catalogue() []Kind {
	return []Kind{
		{"PL001", Error, "main.cf or master.cf cannot be read"},
		{"PL002", Error, "a value makes no sense, and the daemon does not start"},
		{"PL003", Warning, "the daemon starts with a warning"},
		{"PL004", Warning, "a line of master.cf is passed over"},
		{"PL005", Error, "the daemon of a service does not start"},
		{"PL006", Error, "a service runs a program that does not exist"},
		{"PL007", Warning, "no service delivers by LMTP"},
		{"PL008", Warning, "the release of Postfix is not found"},
		{"PL010", Warning, "a parameter that nobody knows"},
		{"PL011", Note, "a parameter without effect"},
		{"PL020", Warning, "a limit for a service that does not exist"},
		{"PL021", Error, "flags=D or O without a recipient limit of 1"},
		{"PL022", Warning, "limits of lmtp_… that do not count for a service of another name"},
		{"PL030", Error, "an absolute path of a socket is outside of the chroot jail"},
		{"PL031", Error, "a socket does not exist"},
		{"PL032", Error, "a socket is closed to the daemon's user"},
		{"PL033", Error, "the path of a socket leads to something else"},
		{"PL034", Warning, "a host that only the hosts file knows, which is not read"},
		{"PL040", Error, "a destination makes no sense"},
		{"PL041", Error, "a transport that is no service in master.cf"},
		{"PL050", Warning, "an indexed table is older than its source"},
		{"PL051", Error, "a table cannot be opened"},
		{"PL060", Warning, "passwords cross the network in plain text"},
		{"PL061", Warning, "opportunistic TLS and a socket"},
		{"PL062", Error, "lmtp_tls_wrappermode without a level that demands TLS"},
		{"PL063", Error, "certificates have to be verified, and no CA is trusted"},
		{"PL070", Warning, "Dovecot has fewer LMTP processes than Postfix connections"},
		{"PL071", Note, "Dovecot limits parallel deliveries to one user"},
		{"PL072", Error, "Dovecot does not speak LMTP"},
		{"PL073", Warning, "Dovecot listens on another socket"},
	}
}

func severityOf(number string) Severity {
	for _, k := range Catalogue() {
		if k.Number == number {
			return k.Severity
		}
	}
	panic("check: no finding has the number " + number)
}
