package finder

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// alone are letters that have no decomposition (Unicode 15) but which people type,
// and other directories write, without their stroke.
var alone = strings.NewReplacer("ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "ł", "l", "đ", "d", "ð", "d", "þ", "th", "ħ", "h", "ŧ", "t", "ı", "i", "ŋ", "n")

// Fold brings a text to the form in which texts are compared: lower case, without
// accents, in compatibility decomposition (UAX 15), one space between words and
// none around them.
func Fold(s string) string {
	ascii, tidy := true, true
	for i := range len(s) {
		ascii = ascii && s[i] < utf8.RuneSelf
		tidy = tidy && s[i] > ' ' || s[i] == ' ' && i > 0 && i < len(s)-1 && s[i-1] != ' ' && tidy
	}
	if !ascii {
		s = strip(norm.NFKD.String(s))
	}
	s = strings.ToLower(s)
	if !ascii {
		s = alone.Replace(s)
	}
	if !ascii || !tidy {
		s = strings.Join(strings.Fields(s), " ")
	}
	return s
}

// strip drops the marks that decomposition has set free.
func strip(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf && unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, s)
}
