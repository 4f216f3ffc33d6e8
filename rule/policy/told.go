package policy

import (
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Property is a value as clients are told it in band, [MS-SIPREGE] 2.2.2.5.
type Property struct{ Group, Name, Value string }

// tell makes the properties of an instance. What is not set is not told: the
// client does as it likes.
func (k *Kind) tell(values Values) []Property {
	var list []Property
	for i := range k.Params {
		p := &k.Params[i]
		group, name, told := strings.Cut(p.Client, "/")
		if text := p.Text(values); told && text != "" {
			list = append(list, Property{group, name, p.spoken(text)})
		}
	}
	return list
}

// spoken is a canonical text as clients read it: times are seconds.
func (p *Param) spoken(canonical string) string {
	if p.of != reflect.TypeFor[time.Duration]() {
		return canonical
	}
	d, ok := parseSpan(canonical)
	if !ok {
		return canonical
	}
	return strconv.FormatInt(int64(d/time.Second), 10)
}

// Told appends the properties of a group that hold for a user to list. tag answers
// which tag the user was granted of a kind, "" for none.
func (b *Book) Told(list []Property, group string, tag func(*Kind) string) []Property {
	for _, k := range kinds {
		if !k.tells {
			continue
		}
		granted := ""
		if k.Grant != "" {
			granted = tag(k)
		}
		for _, p := range b.effective(k, granted).told {
			if p.Group == group {
				list = append(list, p)
			}
		}
	}
	return list
}
