package cmdlet

import (
	"reflect"
	"testing"

	"trivet/rule/directory"
)

func TestPersonalSetsEveryProperty(t *testing.T) {
	t.Parallel()
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Personal]()) {
		var p Personal
		value := "new " + f.Name
		reflect.ValueOf(&p).Elem().FieldByIndex(f.Index).Set(reflect.ValueOf(&value))
		var u directory.User
		p.apply(&u)
		property, ok := directory.FieldNamed(f.Name)
		if !ok || property.Get(&u) != value {
			t.Errorf("%s is %q", f.Name, property.Get(&u))
		}
	}
}
