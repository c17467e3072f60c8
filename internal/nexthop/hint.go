package nexthop

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Hint tells the operator what to look at, "" if there is nothing to add. It
// looks at the system as it is now, as this process sees it: in its jail and
// with its rights.
func (e *DialError) Hint() string {
	if e.Endpoint.Network == unixNetwork {
		return unixHint(e.Endpoint.Path, jailed(e.jail), e.Err)
	}
	switch {
	case e.Diagnosis.Status == "4.4.0":
		return fmt.Sprintf("the source address of lmtp_bind_address cannot be used, and lmtp_bind_address_enforce = yes: %v", e.Err)
	case errors.Is(e.Err, syscall.ECONNREFUSED):
		return fmt.Sprintf("no server listens on port %d of %s, or a firewall says so: compare with the ports and addresses that the server listens on",
			e.Endpoint.Port, e.Endpoint.Addr)
	case errors.Is(e.Err, syscall.ENETUNREACH) && !e.Endpoint.Addr.Is4():
		return "this machine has no route to IPv6 addresses: inet_protocols = ipv4 leaves them alone"
	case errors.Is(e.Err, syscall.EADDRNOTAVAIL):
		return "no local port or address is left for this connection"
	}
	return ""
}

// jailed tells where the root directory of this process is, as seen from
// outside: the given directory, which inside of itself has no such name, or "".
func jailed(jail string) string {
	if _, err := os.Stat(jail); jail == "" || err == nil {
		return ""
	}
	return jail
}

// unixHint explains why a socket cannot be connected to.
func unixHint(path, jail string, err error) string {
	switch {
	case len(path) > maxSocketPath:
		return fmt.Sprintf("the pathname has %d bytes, and a socket's can have %d: make a shorter one, or a symbolic link in a directory with a short name",
			len(path), maxSocketPath)
	case errors.Is(err, syscall.EAGAIN):
		return "the server's queue of waiting connections is full: it is too slow, or its limits are too low"
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR):
		return "looked for " + describePath(path, jail) + "; " + missingCure(path, jail)
	case errors.Is(err, syscall.EACCES):
		return "refused on the way along " + describePath(path, jail) + accessCure(path)
	case errors.Is(err, syscall.EPROTOTYPE):
		return path + " is a socket for datagrams, not for connections"
	case errors.Is(err, syscall.ECONNREFUSED):
		if info, err := os.Stat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
			return fmt.Sprintf("%s is %s, not a socket", path, kind(info))
		}
		return "the socket is there, but no process listens on it: the server is down, or listens on a newer socket elsewhere"
	}
	return ""
}

func kind(info fs.FileInfo) string {
	switch {
	case info.Mode().IsRegular():
		return "a regular file"
	case info.IsDir():
		return "a directory"
	}
	return "a special file"
}

// describePath names every part of a pathname with its mode and owner, up to
// the one that is missing or closed, and says who is looking from where.
func describePath(path, jail string) string {
	start, below := "/", ""
	switch dir, err := os.Getwd(); {
	case filepath.IsAbs(path):
	case err != nil:
		start, below = ".", " below an unknown directory"
	default:
		start, below = ".", " below "+filepath.Join(jail, dir)
	}
	if jail != "" {
		below += " in the chroot jail " + jail
	}
	text, open := describePart(start, false)
	parts := []string{text}
	for prefix := range prefixes(path) {
		if !open {
			break
		}
		text, open = describePart(prefix, prefix == path)
		parts = append(parts, text)
	}
	return fmt.Sprintf("%s%s as uid %d gid %d: %s", path, below, os.Geteuid(), os.Getegid(), strings.Join(parts, ", "))
}

// missingCure says where the socket may be instead.
func missingCure(path, jail string) string {
	inside, below := strings.CutPrefix(path, jail+"/")
	switch {
	case jail == "" || !filepath.IsAbs(path):
		return "is the server running, and does it listen there?"
	case below:
		return "pathnames begin at the jail: write unix:" + inside
	}
	return fmt.Sprintf("pathnames begin at the jail: let the server listen on %s, or run the service without chroot (\"n\" in master.cf)",
		filepath.Join(jail, path))
}

// accessCure says what opens the way.
func accessCure(path string) string {
	if _, err := os.Stat(path); err == nil { // as far as the socket it is open
		return "; the server has to let this uid or gid in: in Dovecot, by user, group and mode of its unix_listener"
	}
	return "; the directory has to let others pass (chmod o+x), or the socket has to be in private/ of the queue directory"
}

// prefixes yields "a", "a/b" and "a/b/c" for "a/b/c".
func prefixes(path string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := 1; i <= len(path); i++ {
			if i < len(path) && (path[i] != '/' || path[i-1] == '/') {
				continue
			}
			if !yield(path[:i]) {
				return
			}
		}
	}
}

// describePart describes one part of a pathname. The way goes on behind it if
// it is open: a directory needs the right to search it, a socket that to write.
func describePart(path string, last bool) (text string, open bool) {
	info, err := os.Stat(path)
	if err != nil {
		if link, lerr := os.Readlink(path); lerr == nil {
			return fmt.Sprintf("%s is a symbolic link to %s: %s", path, link, errorText(err)), false
		}
		if errors.Is(err, fs.ErrNotExist) {
			return path + " does not exist", false
		}
		return fmt.Sprintf("%s is out of reach: %s", path, errorText(err)), false
	}
	text = fmt.Sprintf("%s %v", path, info.Mode())
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		text += fmt.Sprintf(" owner %d:%d", st.Uid, st.Gid)
	}
	switch {
	case last:
		if unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS) != nil {
			return text + " is not ours to write to", false
		}
	case !info.IsDir():
		return text + " is not a directory", false
	case unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS) != nil:
		return text + " is not ours to search", false
	}
	return text, true
}
