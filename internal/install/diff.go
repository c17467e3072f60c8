package install

import (
	"fmt"
	"strings"
)

// context is how many lines around a change are shown.
const context = 3

// Diff returns the difference between two texts in the unified format, "" if
// there is none. What is between the first change and the last is one hunk
// where that is not too much.
func Diff(path, before, after string) string {
	if before == after {
		return ""
	}
	a, b := lines(before), lines(after)
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", path, path)
	for _, h := range hunks(edits(a, b)) {
		h.write(&out)
	}
	return out.String()
}

func lines(text string) []string {
	list := strings.SplitAfter(text, "\n")
	if list[len(list)-1] == "" {
		list = list[:len(list)-1]
	}
	return list
}

// edit is one line: kept ' ', removed '-' or added '+'.
type edit struct {
	kind byte
	text string
	a, b int // where it is, or would be, from 0
}

// maxTable bounds the memory of edits, in numbers.
const maxTable = 16 << 20

// edits finds the lines that both texts have, by their longest common
// subsequence.
func edits(a, b []string) []edit {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	n, m := len(a)-head-tail, len(b)-head-tail
	length := func(int, int) int { return 0 }
	if n*m <= maxTable {
		table := make([]int, (n+1)*(m+1))
		for i := n - 1; i >= 0; i-- {
			for j := m - 1; j >= 0; j-- {
				if a[head+i] == b[head+j] {
					table[i*(m+1)+j] = table[(i+1)*(m+1)+j+1] + 1
				} else {
					table[i*(m+1)+j] = max(table[(i+1)*(m+1)+j], table[i*(m+1)+j+1])
				}
			}
		}
		length = func(i, j int) int { return table[i*(m+1)+j] }
	}
	var list []edit
	for i := range head {
		list = append(list, edit{' ', a[i], i, i})
	}
	i, j := 0, 0
	for i < n || j < m {
		switch {
		case i < n && j < m && a[head+i] == b[head+j]:
			list = append(list, edit{' ', a[head+i], head + i, head + j})
			i++
			j++
		case i < n && (j == m || length(i+1, j) >= length(i, j+1)):
			list = append(list, edit{'-', a[head+i], head + i, head + j})
			i++
		default:
			list = append(list, edit{'+', b[head+j], head + i, head + j})
			j++
		}
	}
	for k := range tail {
		list = append(list, edit{' ', a[len(a)-tail+k], len(a) - tail + k, len(b) - tail + k})
	}
	return list
}

// hunk is a run of lines with changes.
type hunk []edit

// hunks cuts what is far from any change.
func hunks(list []edit) []hunk {
	var all []hunk
	last := -1 // of the current hunk, behind it
	for i, e := range list {
		if e.kind == ' ' {
			continue
		}
		from, to := max(i-context, 0), min(i+context+1, len(list))
		if last >= from && len(all) > 0 {
			h := &all[len(all)-1]
			*h = append(*h, list[last:max(to, last)]...)
		} else {
			all = append(all, hunk(list[from:to]))
		}
		last = max(last, to)
	}
	return all
}

func (h hunk) write(out *strings.Builder) {
	removed, added := 0, 0
	for _, e := range h {
		if e.kind != '+' {
			removed++
		}
		if e.kind != '-' {
			added++
		}
	}
	start := func(at, n int) int {
		if n == 0 {
			return at
		}
		return at + 1
	}
	fmt.Fprintf(out, "@@ -%d,%d +%d,%d @@\n", start(h[0].a, removed), removed, start(h[0].b, added), added)
	for _, e := range h {
		out.WriteByte(e.kind)
		out.WriteString(e.text)
		if !strings.HasSuffix(e.text, "\n") {
			out.WriteString("\n\\ No newline at end of file\n")
		}
	}
}
