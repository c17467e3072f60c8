package main

import (
	"fmt"
	"io"

	"postlmtp/internal/install"
)

// showServices reports how the daemon is installed: the services of master.cf
// that deliver by LMTP, the programs that they run, and whether the way back is
// known. It is what postlmtp status --service prints. The status is exitFail if a
// service cannot run, and exitWarnings if one runs another build than this.
func showServices(dir string, asJSON bool, paint painter, stdout, stderr io.Writer) int {
	current, _ := findAgent("") // without one there is nothing to compare with
	list, err := install.Inspect(absolute(dir), current)
	if err != nil {
		return complain(stderr, "status", err)
	}
	if asJSON {
		if err := printJSON(stdout, list); err != nil {
			return complain(stderr, "status", err)
		}
	} else {
		printServices(stdout, paint, list)
	}
	return serviceStatus(list)
}

// serviceStatus is the exit status.
func serviceStatus(list []install.Service) int {
	status := exitOK
	for _, s := range list {
		switch {
		case s.Program.Missing:
			return exitFail
		case s.Ours && !s.Program.Same:
			status = exitWarnings
		}
	}
	return status
}

// printServices shows services to people.
func printServices(w io.Writer, paint painter, list []install.Service) {
	ours := false
	for _, s := range list {
		ours = ours || s.Ours
		fmt.Fprintf(w, "%s  %s:%d: %s\n", paint.paint(bold, s.Name+"/"+s.Type), s.File, s.Line, s.Text)
		b := s.Program
		if b.Missing {
			fmt.Fprintf(w, "    program  %s %s\n", b.Path, paint.paint(bold+";"+red, "does not exist"))
			continue
		}
		fmt.Fprintf(w, "    program  %s (%s:%s, mode %s, %s)\n", b.Path, b.Owner, b.Group, b.Mode, b.Modified.Format("2006-01-02 15:04:05 UTC"))
		if !s.Ours {
			fmt.Fprintf(w, "    build    Postfix's own\n")
			continue
		}
		same := "the same as belongs to this tool (" + version + ")"
		if !b.Same {
			same = paint.paint(yellow, "not the one that belongs to this tool ("+version+"): postlmtp install puts that in its place")
		}
		if b.Revision != "" {
			same = b.Revision + ", " + same
		}
		fmt.Fprintf(w, "    build    %s\n", same)
		switch {
		case s.Hidden:
			fmt.Fprintf(w, "    undo     only root can see what postlmtp install has written down\n")
		case s.Undo == nil:
			fmt.Fprintf(w, "    undo     none: this service was not made by postlmtp install\n")
		case s.Undo.Exact:
			fmt.Fprintf(w, "    undo     postlmtp uninstall --service=%s restores main.cf and master.cf to the byte (installed %s)\n", s.Name, s.Undo.When.Format("2006-01-02 15:04:05 UTC"))
		default:
			fmt.Fprintf(w, "    undo     postlmtp uninstall --service=%s takes out what was added; the files have changed since (installed %s)\n", s.Name, s.Undo.When.Format("2006-01-02 15:04:05 UTC"))
		}
	}
	if !ours {
		fmt.Fprintln(w, "No service runs this daemon: postlmtp install adds one.")
	}
}
