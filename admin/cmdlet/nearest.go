package cmdlet

import "strings"

// Nearest is the name that somebody who typed typed may have meant, "" if none is
// near. Case, hyphens and the Cs of nouns do not count.
func Nearest(typed string, names []string) string {
	if len(typed) > 80 {
		return ""
	}
	typed = spelling(typed)
	near, least := "", 2+len(typed)/5
	for _, name := range names {
		if d := distance(typed, spelling(name)); d < least {
			near, least = name, d
		}
	}
	return near
}

var plainSpelling = strings.NewReplacer("-cs", "", "-", "")

func spelling(name string) string { return plainSpelling.Replace(strings.ToLower(name)) }

// distance is how many letters have to be changed, added, dropped or exchanged with
// their neighbour to make b of a.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
