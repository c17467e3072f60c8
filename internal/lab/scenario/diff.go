package scenario

import (
	"fmt"
	"strings"
)

// Diff compares two texts line by line and returns "" if they are the same,
// else all lines of both: common ones after two blanks, lines of want alone
// after "- ", lines of got alone after "+ ".
func Diff(want, got string) string {
	if want == got {
		return ""
	}
	return strings.Join(edits(lines(want), lines(got)), "")
}

// edits returns the lines of a and b with "  ", "- " or "+ " before them.
func edits(a, b []string) []string {
	var head, tail []string
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		head = append(head, "  "+a[0]+"\n")
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		tail = append(tail, "  "+a[len(a)-1]+"\n")
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	out := head
	common := commonSuffixes(a, b)
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, "  "+a[i]+"\n")
			i++
			j++
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			out = append(out, "- "+a[i]+"\n")
			i++
		default:
			out = append(out, "+ "+b[j]+"\n")
			j++
		}
	}
	for k := len(tail) - 1; k >= 0; k-- {
		out = append(out, tail[k])
	}
	return out
}

// contextLines is how many common lines a unified diff shows around changes.
const contextLines = 3

// Unified compares two texts and returns "" if they are the same, else a
// unified diff with these names in its head.
func Unified(wantName, want, gotName, got string) string {
	if want == got {
		return ""
	}
	all := edits(lines(want), lines(got))
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s\n+++ %s\n", wantName, gotName)
	for at := 0; at < len(all); {
		first := nextChange(all, at)
		if first == len(all) {
			break
		}
		from, to := max(at, first-contextLines), first
		for next := first; next < len(all) && next-to <= 2*contextLines; next = nextChange(all, to) {
			to = next + 1
		}
		to = min(to+contextLines, len(all))
		b.WriteString(hunk(all, from, to))
		at = to
	}
	return b.String()
}

func nextChange(all []string, at int) int {
	for at < len(all) && all[at][0] == ' ' {
		at++
	}
	return at
}

// hunk prints all[from:to] with the line numbers of both texts.
func hunk(all []string, from, to int) string {
	count := func(part []string, not byte) (n int) {
		for _, line := range part {
			if line[0] != not {
				n++
			}
		}
		return n
	}
	var b strings.Builder
	fmt.Fprintf(&b, "@@ -%d,%d +%d,%d @@\n",
		count(all[:from], '+')+1, count(all[from:to], '+'), count(all[:from], '-')+1, count(all[from:to], '-'))
	for _, line := range all[from:to] {
		b.WriteString(line[:1] + line[2:])
	}
	return b.String()
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// commonSuffixes returns for each pair of positions the length of the longest
// common subsequence of what follows.
func commonSuffixes(a, b []string) [][]int {
	table := make([][]int, len(a)+1)
	for i := range table {
		table[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				table[i][j] = table[i+1][j+1] + 1
			} else {
				table[i][j] = max(table[i+1][j], table[i][j+1])
			}
		}
	}
	return table
}
