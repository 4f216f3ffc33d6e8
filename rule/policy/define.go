package policy

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// define completes a kind from the fields of T. A tag that does not fit is a
// defect of this package and stops the program; the tests would see it first.
func define[T any](k Kind) Of[T] {
	t := reflect.TypeFor[T]()
	for i := range t.NumField() {
		p := paramOf(t.Field(i), i)
		k.Params, k.tells = append(k.Params, p), k.tells || p.Client != ""
	}
	k.fresh = func() any {
		v := new(T)
		for i := range k.Params {
			if err := k.Params[i].set(v, k.Params[i].Default); err != nil {
				panic(err)
			}
		}
		return v
	}
	k.fresh()
	return Of[T]{&k}
}

func paramOf(f reflect.StructField, index int) Param {
	tag := f.Tag.Get
	p := Param{
		Name: f.Name, Help: tag("help"), Default: tag("default"), Unit: tag("unit"), Server: tag("server"), Client: tag("client"),
		index: index, of: f.Type,
	}
	if f.Type.Kind() == reflect.Pointer {
		p.optional, p.of = true, f.Type.Elem()
	}
	if v := tag("values"); v != "" {
		p.Values = strings.Split(v, "|")
	}
	if low, high, ok := strings.Cut(tag("range"), "-"); ok {
		p.limit(low, high)
	}
	return p
}

func (p *Param) limit(low, high string) {
	for _, end := range []struct {
		text string
		at   *int64
	}{{low, &p.min}, {high, &p.max}} {
		if p.of == reflect.TypeFor[time.Duration]() {
			d, ok := parseSpan(end.text)
			if !ok {
				panic(fmt.Sprintf("policy: the range of %s does not fit", p.Name))
			}
			*end.at = int64(d)
			continue
		}
		n, err := strconv.ParseInt(end.text, 10, 64)
		if err != nil {
			panic(err)
		}
		*end.at = n
	}
	p.Range = fmt.Sprintf("from %s to %s", p.bound(p.min), p.bound(p.max))
	if p.of.Kind() == reflect.String {
		p.Range = fmt.Sprintf("of at most %d bytes", p.max)
	}
}

func (p *Param) bound(n int64) string {
	if p.of == reflect.TypeFor[time.Duration]() {
		return formatSpan(time.Duration(n))
	}
	return strconv.FormatInt(n, 10)
}

// between makes a check of several parameters of one kind.
func between[T any](check func(*T) error) func(any) error {
	return func(v any) error { return check(v.(*T)) }
}
