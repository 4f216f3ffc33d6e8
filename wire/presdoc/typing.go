package presdoc

import (
	"strconv"
	"strings"

	"trivet/wire/xmlpull"
)

// Composing says whether somebody is writing, RFC 3994. Refresh is after how many
// seconds without news an active one counts as idle, 0 for not given.
type Composing struct {
	Active      bool
	Refresh     uint32
	ContentType string // of what is written, "" for not given
}

// ParseKeyboardActivity reads the document of an INFO: true while
// somebody types.
func ParseKeyboardActivity(b []byte) (bool, error) {
	state := ""
	err := read("ParseKeyboardActivity", b, "KeyboardActivity", func(s *xmlpull.Scanner) {
		for name := range s.Children() {
			if name == "status" {
				state = s.Attr("status")
			}
		}
		if state != "type" && state != "idle" {
			s.Fail("the status of KeyboardActivity must be type or idle")
		}
	})
	return err == nil && state == "type", err
}

// ParseComposing reads an isComposing document of TypeIsComposing. A state other
// than active counts as idle, RFC 3994 3.2.
func ParseComposing(b []byte) (Composing, error) {
	var c Composing
	state := ""
	err := read("ParseComposing", b, "isComposing", func(s *xmlpull.Scanner) {
		for name := range s.Children() {
			switch name {
			case "state":
				state = strings.TrimSpace(s.Text())
			case "contenttype":
				c.ContentType = strings.TrimSpace(s.Text())
			case "refresh":
				var ok bool
				if c.Refresh, ok = xmlpull.Uint32(s.Text()); !ok {
					s.Fail("refresh must be a number of seconds")
				}
			}
		}
		if state == "" {
			s.Fail("isComposing needs a state")
		}
	})
	if err != nil {
		return Composing{}, err
	}
	c.Active = state == "active"
	return c, nil
}

// Append writes the document.
func (c Composing) Append(b []byte) []byte {
	state := "idle"
	if c.Active {
		state = "active"
	}
	b = xmlpull.AppendElement(append(b, `<isComposing xmlns="`+nsComposing+`">`...), "state", state)
	if c.ContentType != "" {
		b = xmlpull.AppendElement(b, "contenttype", c.ContentType)
	}
	if c.Refresh > 0 {
		b = xmlpull.AppendElement(b, "refresh", strconv.FormatUint(uint64(c.Refresh), 10))
	}
	return append(b, "</isComposing>"...)
}
