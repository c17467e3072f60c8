package notice

import "strings"

const (
	lineLength = 78 // bytes
	indent     = "    "
)

// wrap breaks a line between words. Lines that go on are indented. A word that
// is longer than a line stays as it is.
func wrap(text string) []string {
	var lines []string
	limit, margin := lineLength, ""
	start := 0 // of the line in text
	for word := 0; ; {
		end := len(text)
		if i := strings.IndexAny(text[word:], " \t"); i >= 0 {
			end = word + i
		}
		if word > start && end-start > limit {
			lines = append(lines, margin+trimRight(text[start:word]))
			word += len(text[word:]) - len(strings.TrimLeft(text[word:], spaces))
			limit, margin = lineLength-len(indent), indent
			start = word
		}
		if end == len(text) {
			break
		}
		word = end + 1
	}
	return append(lines, margin+trimRight(text[start:]))
}

const spaces = " \t\n\v\f\r"

func trimRight(s string) string { return strings.TrimRight(s, spaces) }
