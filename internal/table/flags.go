package table

import (
	"strconv"
	"strings"
)

// Flags say how a table is used. The values are those of Postfix: they go over
// the wire to proxymap(8), and their names are in the log.
type Flags int

// The flags that readers of tables set.
const (
	TryNoNull   Flags = 1 << 2  // keys and values without a NUL at the end
	TryNull     Flags = 1 << 3  // keys and values with a NUL at the end
	Lock        Flags = 1 << 6  // lock the file for each lookup
	NoRegexpSub Flags = 1 << 11 // no $number in results of patterns
	NoProxy     Flags = 1 << 12 // do not use proxymap(8), open directly
	NoUnauth    Flags = 1 << 13 // no types without any authentication
	FoldFixed   Flags = 1 << 14 // fold the key where keys are fixed strings
	FoldPattern Flags = 1 << 15 // fold the key where keys are patterns
	UTF8        Flags = 1 << 19 // keys and values must be UTF-8, if enabled
)

// flagNames has Postfix's names, by the number of the bit.
func flagNames() [23]string {
	return [23]string{
		0: "warn_dup", 1: "ignore_dup", 2: "try0null", 3: "try1null", 4: "fixed", 5: "pattern", 6: "lock",
		7: "dup_replace", 8: "sync_update", 11: "no_regsub", 12: "no_proxy", 13: "no_unauth", 14: "fold_fix",
		15: "fold_mul", 16: "open_lock", 17: "bulk_update", 18: "multi_writer", 19: "utf8_request",
		20: "utf8_active", 21: "src_rhs_is_file", 22: "surrogate",
	}
}

// String returns the names of the flags, as in "table hash:/etc/aliases
// (0,lock|fold_fix) has changed".
func (f Flags) String() string {
	var names []string
	for bit, name := range flagNames() {
		if f&(1<<bit) != 0 && name != "" {
			names = append(names, name)
			f &^= 1 << bit
		}
	}
	if f != 0 {
		names = append(names, "0x"+strconv.FormatInt(int64(f), 16))
	}
	if names == nil {
		return "0"
	}
	return strings.Join(names, "|")
}
