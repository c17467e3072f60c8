package address

import "strings"

// scanTokens cuts the value of a structured header into tokens. White space
// between tokens is dropped.
func scanTokens(text string) []token {
	var tokens []token
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case isFolding(c):
			i++
		case c == '(':
			end := commentEnd(text, i)
			tokens = append(tokens, token{kind: tokenComment, text: text[i:end]})
			i = end
		case c == '[':
			word, end := collect(text, i+1, func(c byte) bool { return c == ']' })
			tokens = append(tokens, token{kind: tokenLiteral, text: word})
			i = end + 1
		case c == '"':
			word, end := collect(text, i+1, func(c byte) bool { return c == '"' })
			tokens = append(tokens, token{kind: tokenQuoted, text: word})
			i = end + 1
		case c != '\\' && strings.IndexByte(operators, c) >= 0:
			tokens = append(tokens, token{kind: tokenKind(c)})
			i++
		default:
			word, end := collect(text, i, func(c byte) bool {
				return isFolding(c) || strings.IndexByte(operators, c) >= 0
			})
			tokens = append(tokens, token{kind: atomKind(word), text: word})
			i = end
		}
	}
	return tokens
}

// isFolding is white space as far as it separates tokens.
func isFolding(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// collect reads up to a byte that ends the word, or the end of the text. A
// backslash takes away the meaning of the byte behind it.
func collect(text string, i int, ends func(byte) bool) (word string, end int) {
	var b strings.Builder
	for ; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\':
			i++
			if i == len(text) {
				return b.String(), i
			}
			c = text[i]
		case ends(c):
			return b.String(), i
		}
		if isFolding(c) {
			c = ' '
		}
		b.WriteByte(c)
	}
	return b.String(), i
}

// atomKind tells whether a word has to be quoted when it is written again,
// because of what stood behind a backslash.
func atomKind(word string) tokenKind {
	for i := 0; i < len(word); i++ {
		if c := word[i]; c <= ' ' || c == 0x7f || strings.IndexByte(operators, c) >= 0 {
			return tokenQuoted
		}
	}
	return tokenAtom
}

// commentEnd returns the end of the comment that starts at i. Comments nest.
func commentEnd(text string, i int) int {
	level := 0
	for ; i < len(text); i++ {
		switch text[i] {
		case '(':
			level++
		case ')':
			if level--; level == 0 {
				return i + 1
			}
		case '\\':
			i++
		}
	}
	return min(i, len(text))
}
