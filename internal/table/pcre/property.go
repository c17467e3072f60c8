package pcre

import (
	"slices"
	"strings"
	"unicode"

	"postlmtp/internal/table/rx"
)

// property reads \pL, \p{Lu}, \p{^Lu} and their negations. A byte counts as the
// character of Unicode with its number.
func (p *parser) property() (rx.Set, error) {
	negated := p.src[p.pos+1] == 'P'
	p.pos += 2
	text, err := p.propertyName()
	if err != nil {
		return rx.Set{}, err
	}
	text, caret := strings.CutPrefix(text, "^")
	name := loose(text)
	set, ok := propertySet(name)
	switch {
	case len(name) > maxProperty:
		return set, p.fail(badProperty)
	case !ok && !knownProperty(name):
		return set, p.fail("unknown property after \\P or \\p")
	case !ok:
		p.cannot(`\p{` + text + `}`)
	}
	if negated != caret {
		set = set.Not()
	}
	return set, nil
}

const (
	badProperty = "malformed \\P or \\p sequence"
	// maxProperty is how long the name of a property may be, in bytes.
	maxProperty = 48
)

// propertyName reads one letter, or a text in braces.
func (p *parser) propertyName() (string, error) {
	rest := p.src[p.pos:]
	if !p.eat("{") {
		if p.done() || !unicode.IsLetter(rune(rest[0])) || rest[0] > unicode.MaxASCII {
			return "", p.fail(badProperty)
		}
		p.pos++
		return rest[:1], nil
	}
	n := strings.IndexByte(rest, '}')
	if n < 0 {
		return "", p.fail(badProperty)
	}
	p.pos += n
	return rest[1:n], nil
}

// loose returns a name as Unicode compares names (UAX #44, LM3).
func loose(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("_- \t\n\v\f\r", r) {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
}

// propertySet returns the characters with a general category, or of a script.
func propertySet(name string) (rx.Set, bool) {
	var tables []*unicode.RangeTable
	switch name {
	case "any":
		return rx.Set{}.Not(), true
	case "l&", "lc":
		tables = []*unicode.RangeTable{unicode.Lu, unicode.Ll, unicode.Lt}
	default:
		kind, value, ok := cutKind(name)
		if !ok {
			tables = find(unicode.Categories, name)
		}
		if tables == nil && (!ok || isScript(kind)) {
			tables = find(unicode.Scripts, value)
		}
	}
	var set rx.Set
	for c := range 256 {
		if unicode.In(rune(c), tables...) {
			set.Add(byte(c))
		}
	}
	return set, len(tables) > 0
}

// find returns the table with a name.
func find(all map[string]*unicode.RangeTable, name string) []*unicode.RangeTable {
	for key, table := range all {
		if loose(key) == name {
			return []*unicode.RangeTable{table}
		}
	}
	return nil
}

// cutKind takes "kind:value" and "kind=value" apart; otherwise the value is all.
func cutKind(name string) (kind, value string, ok bool) {
	if n := strings.IndexAny(name, ":="); n >= 0 {
		return name[:n], name[n+1:], true
	}
	return "", name, false
}

func isScript(kind string) bool {
	return slices.Contains([]string{"sc", "script", "scx", "scriptextensions"}, kind)
}

// knownProperty tells whether PCRE2 has a property that propertySet has not.
func knownProperty(name string) bool {
	has := func(list, name string) bool { return slices.Contains(strings.Fields(list), name) }
	kind, value, ok := cutKind(name)
	switch {
	case !ok:
		return has(scripts, name) || has(binaries, name) || has(directions, name)
	case isScript(kind):
		return has(scripts, value)
	case kind == "bc" || kind == "bidiclass":
		return has(binaries, "bidi"+value) || has(directions, "bidi"+value)
	}
	return false
}

const (
	// scripts are the short names (ISO 15924), and the script of no character.
	scripts = `adlm aghb ahom arab armi armn avst bali bamu bass batk beng bhks bopo brah brai bugi buhd cakm cans cari
		cham cher chrs copt cpmn cprt cyrl deva diak dogr dsrt dupl egyp elba elym ethi geor glag gong gonm goth gran
		grek gujr guru han hang hani hano hatr hebr hira hluw hmng hmnp hung ital java kali kana khar khmr khoj kits
		knda kthi lana laoo latn lepc limb lina linb lyci lydi mahj maka mand mani marc medf mend merc mero mlym mong
		mroo mtei mult mymr nand narb nbat newa nkoo nshu ogam olck orkh orya osge osma ougr palm pauc perm phag phli
		phlp phnx plrd prti qaac qaai rjng rohg runr samr sarb saur sgnw shaw shrd sidd sind sinh sogd sogo sora soyo
		sund sylo syrc tagb takr tale talu taml tang tavt telu tfng tglg thaa tibt tirh tnsa toto ugar unknown vaii
		vith wara wcho xpeo xsux yezi yiii zanb zinh zyyy zzzz`

	// binaries are the properties that a character has or has not, with their
	// short names, and those that only PCRE2 has.
	binaries = `ahex alpha alphabetic ascii asciihexdigit bidic bidicontrol bidim bidimirrored cased caseignorable
		changeswhencasefolded changeswhencasemapped changeswhenlowercased changeswhentitlecased changeswhenuppercased
		ci cwcf cwcm cwl cwt cwu dash defaultignorablecodepoint dep deprecated di dia diacritic ebase ecomp emod emoji
		emojicomponent emojimodifier emojimodifierbase emojipresentation epres ext extendedpictographic extender
		extpict graphemebase graphemeextend graphemelink grbase grext grlink hex hexdigit idc idcontinue ideo
		ideographic ids idsb idsbinaryoperator idst idstart idstrinaryoperator joinc joincontrol loe
		logicalorderexception lower lowercase math nchar noncharactercodepoint patsyn patternsyntax patternwhitespace
		patws pcm prependedconcatenationmark qmark quotationmark radical regionalindicator ri sd sentenceterminal
		softdotted space sterm term terminalpunctuation uideo unifiedideograph upper uppercase variationselector vs
		whitespace wspace xidc xidcontinue xids xidstart xan xps xsp xuc xwd`

	// directions are the values of Bidi_Class.
	directions = `bidial bidian bidib bidibn bidics bidien bidies bidiet bidifsi bidil bidilre bidilri bidilro bidinsm
		bidion bidipdf bidipdi bidir bidirle bidirli bidirlo bidis bidiws`
)
