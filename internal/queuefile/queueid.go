package queuefile

import (
	"fmt"
	"strings"
	"time"
)

// The two layouts of a queue id (enable_long_queue_ids). Short: 5 hexadecimal
// digits of microseconds, then the inode number in hexadecimal. Long: seconds
// in base 52 (6 digits or more), microseconds in base 52 (4 digits), the
// letter z, and the inode number in base 51, which has no digit z.
const (
	longDigits  = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
	longBase    = len(longDigits)
	secDigits   = 6
	usecDigits  = 4
	inodeMarker = 'z'
)

// ShortID returns the short queue id of a file that was created at the given
// time with the given inode number.
func ShortID(created time.Time, inode uint64) string {
	return fmt.Sprintf("%05X%X", created.Nanosecond()/1000, inode)
}

// LongID returns the long queue id of a file that was created at the given
// time with the given inode number.
func LongID(created time.Time, inode uint64) string {
	return encodeLong(uint64(created.Unix()), longBase, secDigits) +
		encodeLong(uint64(created.Nanosecond()/1000), longBase, usecDigits) +
		string(inodeMarker) + encodeLong(inode, longBase-1, 0)
}

// hashKey returns the text whose characters choose the subdirectories. For a
// long id that is the microsecond field as 5 hexadecimal digits, because the
// leading characters of a long id hardly change over time. A field that does
// not decode counts as zero.
func hashKey(queueID string) string {
	marker := strings.LastIndexByte(queueID, inodeMarker)
	if marker < secDigits+usecDigits {
		return queueID
	}
	usec := 0
	for _, c := range []byte(queueID[marker-usecDigits : marker]) {
		digit := strings.IndexByte(longDigits, c)
		if digit < 0 {
			usec = 0
			break
		}
		usec = usec*longBase + digit
	}
	return fmt.Sprintf("%05X", usec)
}

func encodeLong(n uint64, base, width int) string {
	var digits []byte
	for ; n > 0 || len(digits) < width; n /= uint64(base) {
		digits = append(digits, longDigits[n%uint64(base)])
	}
	for i, j := 0, len(digits)-1; i < j; i, j = i+1, j-1 {
		digits[i], digits[j] = digits[j], digits[i]
	}
	return string(digits)
}
