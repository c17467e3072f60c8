package maincf

import (
	"math"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	const bad = -1
	for _, test := range []struct {
		in   string
		unit byte
		want time.Duration
	}{
		{"0", 's', 0}, {"5", 's', 5 * time.Second}, {"5", 'm', 5 * time.Minute},
		{"5s", 'm', 5 * time.Second}, {"5m", 's', 5 * time.Minute}, {"2h", 's', 2 * time.Hour},
		{"1d", 's', 24 * time.Hour}, {"1w", 's', 7 * 24 * time.Hour},
		{"+5", 's', 5 * time.Second}, {" 5", 's', 5 * time.Second},
		{"5seconds", 'm', 5 * time.Second}, // Postfix looks at one letter
		{"m", 's', 0},                      // and does not insist on a number
		{"2147483647", 's', math.MaxInt32 * time.Second},
		{"3549w", 's', 3549 * 7 * 24 * time.Hour},
		{"", 's', bad}, {"-1", 's', bad}, {"5x", 's', bad}, {"5 s", 's', bad}, {"5S", 's', bad},
		{"x", 's', bad}, {"2147483648", 's', bad}, {"3550w", 's', bad}, {"99999999999999999999", 's', bad},
		{"1.5h", 's', bad},
	} {
		got, err := ParseTime(test.in, test.unit)
		if err != nil {
			got = bad
		}
		if got != test.want {
			t.Errorf("ParseTime(%q, %c) = %v, want %v", test.in, test.unit, got, test.want)
		}
	}
}

func TestParseNumbers(t *testing.T) {
	for _, test := range []struct {
		in      string
		n       int64
		fits32  bool
		correct bool
	}{
		{"0", 0, true, true}, {"42", 42, true, true}, {"-42", -42, true, true}, {"+7", 7, true, true},
		{"\t7", 7, true, true}, {"007", 7, true, true},
		{"2147483647", math.MaxInt32, true, true}, {"-2147483648", math.MinInt32, true, true},
		{"2147483648", 1 << 31, false, true},
		{"9223372036854775807", math.MaxInt64, false, true}, {"-9223372036854775808", math.MinInt64, false, true},
		{"9223372036854775808", 0, false, false}, {"-9223372036854775809", 0, false, false},
		{"", 0, false, false}, {"x", 0, false, false}, {"1x", 0, false, false}, {"1 ", 0, false, false},
		{"-", 0, false, false}, {"0x10", 0, false, false}, {"92233720368547758080", 0, false, false},
	} {
		n, err := ParseLong(test.in)
		if (err == nil) != test.correct || err == nil && n != test.n {
			t.Errorf("ParseLong(%q) = %d, %v", test.in, n, err)
		}
		i, err := ParseInt(test.in)
		if (err == nil) != (test.correct && test.fits32) || err == nil && int64(i) != test.n {
			t.Errorf("ParseInt(%q) = %d, %v", test.in, i, err)
		}
	}
}

func TestParseBool(t *testing.T) {
	for in, want := range map[string]bool{"yes": true, "YES": true, "yEs": true, "no": false, "No": false} {
		if got, err := ParseBool(in); err != nil || got != want {
			t.Errorf("ParseBool(%q) = %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "y", "true", "yes ", "1", "ye\u017f", "on"} {
		if got, err := ParseBool(in); err == nil {
			t.Errorf("ParseBool(%q) = %v", in, got)
		}
	}
}

func TestTimeUnit(t *testing.T) {
	for in, want := range map[string]byte{"300s": 's', "90d": 'd', "5 w": 'w', "5": 0, "": 0} {
		if got := TimeUnit(in); got != want {
			t.Errorf("TimeUnit(%q) = %c", in, got)
		}
	}
}
