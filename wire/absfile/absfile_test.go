package absfile_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/wire/absfile"
)

func TestNames(t *testing.T) {
	// the examples of [MS-ABS] 1.3 and 3.1
	if d := absfile.DayOf(time.Date(2008, 5, 24, 0, 0, 0, 0, time.UTC)); d != 0x0a8c {
		t.Errorf("May 24, 2008 is day %x", d)
	}
	if d := absfile.DayOf(time.Date(2008, 1, 21, 23, 59, 59, 0, time.UTC)); d != 0x0a10 {
		t.Errorf("January 21, 2008 is day %x", d)
	}
	for _, name := range []string{"F-0A10.lsabs", "D-0A10-0A11.lsabs"} {
		n, err := absfile.ParseName(strings.ToLower(name))
		if err != nil || n.String() != name {
			t.Errorf("%s: %s, %v", name, n, err)
		}
	}
	for _, name := range []string{"", "F-0A10", "F-A10.lsabs", "F-0A10-0A11.lsabs", "D-0A10.lsabs", "D-0A10-0A11-0A12.lsabs", "../F-0A10.lsabs", "F-+A10.lsabs", "C-0A10-0A11.lsabs"} {
		if n, err := absfile.ParseName(name); !fault.Is(err, fault.NotFound) {
			t.Errorf("%q is %s", name, n)
		}
	}
}

var (
	header = absfile.Header{
		Name: absfile.Name{Base: 0x0a10, Day: 0x0a11}, Normalized: true, Source: "fe1.contoso.test",
		Attributes: []absfile.Attribute{{5, absfile.Title, "title"}, {8, absfile.Office, "physicalDeliveryOfficeName"}, {10, absfile.Telephone, "telephoneNumber"}},
	}
	contacts = []absfile.Contact{
		{GUID: [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, Values: []absfile.Value{{5, "Development Manager"}, {10, "+49 30 1"}, {10, "+49301"}}},
		{GUID: [16]byte{1}},
	}
)

func file(t testing.TB, h absfile.Header, list []absfile.Contact) []byte {
	t.Helper()
	b, err := h.Append(nil)
	for i := range list {
		if err == nil {
			b, err = list[i].Append(b)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func read(b []byte) (absfile.Header, []absfile.Contact, error) {
	r, err := absfile.NewReader(bytes.NewReader(b))
	if err != nil {
		return absfile.Header{}, nil, err
	}
	var list []absfile.Contact
	for {
		c, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Header, list, nil
		}
		if err != nil {
			return r.Header, list, err
		}
		list = append(list, c)
	}
}

// TestAsSpecified has the bytes that [MS-ABS] shows: the header of a delta file
// (2.2.4), the description of attributes (3.1.3.13, 3.1.3.16) and a value (3.1.4.16).
func TestAsSpecified(t *testing.T) {
	b := file(t, header, contacts)
	for what, want := range map[string]string{
		"the type and days of a delta file": "16c14bb50890c747b9bdf3bb1a0ab6eb" + "100a" + "110a" + "0300" + "0a00" + "0100" + "660065003100",
		"the description of title":          "0c00" + "0500" + "00000004" + "7469746c6500",
		"the description of the office":     "2100" + "0800" + "00000007" + hex.EncodeToString([]byte("physicalDeliveryOfficeName\x00")),
		"the value of title":                "05" + hex.EncodeToString([]byte("Development Manager\x00")),
		"the order of a GUID":               "03020100" + "0504" + "0706" + "08090a0b0c0d0e0f",
	} {
		if !strings.Contains(hex.EncodeToString(b), want) {
			t.Errorf("%s is not there", what)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	full := header
	full.Name = absfile.Name{Full: true, Day: 0x0a11}
	for _, h := range []absfile.Header{header, full, {Name: absfile.Name{Full: true}}} {
		got, list, err := read(file(t, h, contacts))
		if err != nil || !cmp.Equal(got, h) || !cmp.Equal(list, contacts) {
			t.Errorf("%v: %s%s", err, cmp.Diff(h, got), cmp.Diff(contacts, list))
		}
	}
	h := header
	h.Source = strings.Repeat("ü", 100)
	if got, _, err := read(file(t, h, nil)); err != nil || got.Source != strings.Repeat("ü", 63) {
		t.Errorf("a long source: %q, %v", got.Source, err)
	}
}

func TestDamage(t *testing.T) {
	b := file(t, header, contacts)
	for n := range len(b) {
		if n == len(file(t, header, nil)) || n == len(file(t, header, contacts[:1])) {
			continue // whole contacts
		}
		if _, _, err := read(b[:n]); !fault.Is(err, fault.Invalid) {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
	for _, at := range []int{0, 20, len(file(t, header, nil)) + 30} {
		damaged := slices.Clone(b)
		damaged[at] ^= 0xff
		if _, _, err := read(damaged); !fault.Is(err, fault.Invalid) {
			t.Errorf("byte %d: %v", at, err)
		}
	}
}

func TestWhatCannotBeWritten(t *testing.T) {
	for _, c := range []absfile.Contact{{Values: []absfile.Value{{0, "x"}}}, {Values: []absfile.Value{{1, "a\x00b"}}}, {Values: []absfile.Value{{1, strings.Repeat("x", 0xffff)}}}} {
		if b, err := c.Append([]byte("before")); err == nil || string(b) != "before" {
			t.Errorf("%q, %v", b, err)
		}
	}
	for _, a := range []absfile.Attribute{{0, 0, "x"}, {1, 0, ""}, {1, 0, "a\x00"}} {
		if _, err := (absfile.Header{Attributes: []absfile.Attribute{a}}).Append(nil); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", a, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(file(f, header, contacts))
	f.Add(file(f, absfile.Header{Name: absfile.Name{Full: true}}, nil))
	unended := file(f, absfile.Header{Name: absfile.Name{Full: true}}, nil)
	for i := 26; i < len(unended); i++ {
		unended[i] = '0' // a source without an end
	}
	f.Add(unended)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, list, err := read(b)
		if err != nil {
			return
		}
		if again, second, err := read(file(t, h, list)); err != nil || !cmp.Equal(again, h) || !cmp.Equal(second, list) {
			t.Fatalf("%v: %s%s", err, cmp.Diff(h, again), cmp.Diff(list, second))
		}
	})
}

func FuzzParseName(f *testing.F) {
	f.Add("F-1a2b.lsabs")
	f.Add("D-0001-FFFF.LSABS")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := absfile.ParseName(s)
		if err != nil {
			return
		}
		if !strings.EqualFold(n.String(), s) {
			t.Errorf("%q is read as %s", s, n)
		}
	})
}
