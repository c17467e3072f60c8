package table

import "testing"

// TestFold: the results are those of postmap(1), which was asked about all
// characters up to U+1F000.
func TestFold(t *testing.T) {
	for _, tt := range []struct{ text, ascii, unicode string }{
		{"", "", ""},
		{"AbC@1", "abc@1", "abc@1"},
		{"ÉÀß@X", "ÉÀß@x", "éàss@x"},
		{"ẞ\xffÉZ", "ẞ\xffÉz", "ss\xfféz"},
		{"ΣσςK", "Σσςk", "σσσk"},
		{"ᎠꭰᏴꮿA", "Ꭰꭰ\u13f4ꮿa", "ᎠᎠᏴᏯa"},
		{"ᏰᏸᏽᏵ", "ᏰᏸᏽᏵ", "ᏰᏰᏵᏵ"},
		{"ꭰ\xffꭰ", "ꭰ\xffꭰ", "Ꭰ\xffᎠ"},
	} {
		if got := Fold(tt.text, false); got != tt.ascii {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.ascii)
		}
		if got := Fold(tt.text, true); got != tt.unicode {
			t.Errorf("%q: %q, want %q with Unicode", tt.text, got, tt.unicode)
		}
	}
}
