package presdoc_test

import (
	"strings"
	"testing"

	"trivet/wire/presdoc"
)

// Documents go out by the thousand when everybody signs in: each is written into
// memory that was taken once.
func TestDocumentsTakeMemoryOnce(t *testing.T) {
	one := presdoc.Categories{URI: "sip:a@example.test", Names: []string{"note", "state"}}
	for range 20 {
		one.List = append(one.List, presdoc.Category{Name: "state", Instance: 1 << 31, Version: 1 << 31, PublishTime: 1700000000000, Body: strings.Repeat("s", 500)})
	}
	parts := []presdoc.Part{{Type: presdoc.TypeRLMI, CID: "list", Body: []byte("<list/>")}}
	for range 40 {
		parts = append(parts, presdoc.Part{Type: presdoc.TypeCategories, CID: "a@example.test", Body: one.Append(nil)})
	}
	many := presdoc.NewMultipart("b0123456789", parts)
	if n := testing.AllocsPerRun(100, func() { one.Append(nil) }); n > 1 {
		t.Errorf("the categories of one person take memory %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { many.Append(nil) }); n > 1 {
		t.Errorf("the document about many takes memory %v times", n)
	}
}
