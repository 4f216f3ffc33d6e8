package directory

import "strings"

// IsPattern reports whether s has a wildcard.
func IsPattern(s string) bool { return strings.ContainsAny(s, "*?") }

// Match reports whether s as a whole fits the pattern, in which * stands for any
// text and ? for one character; letters match in any case. The time is
// proportional to len(pattern)·len(s) at worst.
func Match(pattern, s string) bool {
	return match([]rune(strings.ToLower(pattern)), []rune(strings.ToLower(s)))
}

// match walks both once and returns to the last star when stuck, which is enough
// because an earlier star could only take what the later one can.
func match(p, s []rune) bool {
	i, star, from := 0, -1, 0
	for j := 0; j < len(s); {
		switch {
		case i < len(p) && p[i] == '*':
			star, from = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == s[j]):
			i++
			j++
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}
