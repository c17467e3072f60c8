package permit

import (
	"fmt"
	"os/user"
	"strconv"
)

// String describes the part as "drwx------ postfix:root  /path".
func (p Part) String() string {
	switch {
	case p.Kind == "missing", p.Kind == "out of reach":
		return fmt.Sprintf("%-28s %s", p.Kind, p.Path)
	case p.Kind == "link":
		return fmt.Sprintf("%-28s %s -> %s", "link", p.Path, p.Target)
	}
	return fmt.Sprintf("%s %-17s %s", p.Mode, UserName(p.UID)+":"+GroupName(p.GID), p.Path)
}

// Cure says what would open a part to the account that is refused there.
func (w Walk) Cure(p *Part) string {
	who := w.Account.Name
	if p.Need == "w" {
		return fmt.Sprintf("%s needs the right to write to %s (mode %s, owner %s, group %s): in Dovecot's unix_listener set \"user = %s\", \"mode = 0600\"",
			who, p.Path, p.Octal, UserName(p.UID), GroupName(p.GID), who)
	}
	return fmt.Sprintf("%s needs the right to search %s (mode %s, owner %s, group %s): chmod o+x it, or have the socket in private/ of the queue directory, where the daemon may go",
		who, p.Path, p.Octal, UserName(p.UID), GroupName(p.GID))
}

// UserName returns the name of a uid, or the number.
func UserName(id int) string {
	text := strconv.Itoa(id)
	if u, err := user.LookupId(text); err == nil {
		return u.Username
	}
	return text
}

// GroupName returns the name of a gid, or the number.
func GroupName(id int) string {
	text := strconv.Itoa(id)
	if g, err := user.LookupGroupId(text); err == nil {
		return g.Name
	}
	return text
}
