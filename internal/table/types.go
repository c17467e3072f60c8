package table

import "fmt"

// opener returns what opens tables of a type; nil if the type is not known.
func opener(kind string) func(*opening) (*backend, error) {
	switch kind {
	case "cidr":
		return openCIDR
	case "regexp":
		return openRegexp
	case "pcre":
		return openPCRE
	case "hash":
		return openHash
	case "btree":
		return openBtree
	case "lmdb":
		return openLMDB
	case "cdb":
		return openCDB
	case "socketmap":
		return openSocketmap
	case "tcp":
		return openTCP
	case "proxy":
		return openProxy
	case "static":
		return openStatic
	case "inline":
		return openInline
	case "texthash":
		return openTexthash
	case "environ":
		return openEnviron
	case "fail":
		return openFail
	case "randmap":
		return openRandmap
	case "unionmap":
		return openUnionmap
	case "pipemap":
		return openPipemap
	}
	return nil
}

// unsupported says what to do about a type that only proxymap(8) can open.
func unsupported(kind, name string) error {
	return fmt.Errorf("unsupported dictionary type: %s; specify \"proxy:%s:%s\" instead, and proxymap(8) will look it up", kind, kind, name)
}
