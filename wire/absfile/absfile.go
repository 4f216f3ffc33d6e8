// Package absfile reads and writes address book files ([MS-ABS]): a full file
// (F-XXXX.lsabs) with everybody in the address book of a day, and delta files
// (D-XXXX-YYYY.lsabs) with what makes the book of day XXXX that of day YYYY.
//
// A file is a header, which describes the attributes, and the contacts. Numbers are
// little-endian, texts UTF-8 with a zero at the end. From [MS-ABS] are: the names
// and days (1.3), the header of a delta file (2.2.4), the description of attributes
// (2.1.4, 3.1.3) and the attributes of a contact (3.1.4). What it says of the header
// of a full file and of what comes before the attributes of a contact could not be
// established; those follow the same pattern here and are marked "ours" below.
//
// Writers append, so that a file of any size is made in little memory; a Reader
// holds one contact. Both are for one goroutine.
package absfile

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"trivet/fault"
)

// Day is a day as the names of files have it: 0 is January 1, 2001, UTC.
type Day uint16

const epoch = 978307200 // January 1, 2001, in Unix seconds

// DayOf returns the day of t.
func DayOf(t time.Time) Day { return Day(max(t.Unix()-epoch, 0) / 86400) }

// Name is the name of a file: of the full one of a day when Base is not there.
type Name struct {
	Full      bool
	Base, Day Day
}

func (n Name) String() string {
	if n.Full {
		return fmt.Sprintf("F-%04X.lsabs", uint16(n.Day))
	}
	return fmt.Sprintf("D-%04X-%04X.lsabs", uint16(n.Base), uint16(n.Day))
}

// ParseName reads the name of a file, in any case.
func ParseName(s string) (Name, error) {
	bad := fault.New(fault.NotFound, "absfile.ParseName", "an address book file is called F-XXXX.lsabs or D-XXXX-YYYY.lsabs, with days in four hexadecimal digits")
	body, ok := strings.CutSuffix(strings.ToUpper(s), ".LSABS")
	if !ok {
		return Name{}, bad
	}
	part := strings.Split(body, "-")
	var days [2]Day
	for i, p := range part[1:] {
		n, err := strconv.ParseUint(p, 16, 16)
		if i > 1 || len(p) != 4 || err != nil {
			return Name{}, bad
		}
		days[i] = Day(n)
	}
	switch {
	case len(part) == 2 && part[0] == "F":
		return Name{Full: true, Day: days[0]}, nil
	case len(part) == 3 && part[0] == "D":
		return Name{Base: days[0], Day: days[1]}, nil
	}
	return Name{}, bad
}

// Field is what a client takes an attribute for, [MS-ABS] 2.1.4.
type Field uint8

// The fields.
const (
	ProxyAddresses Field = iota
	GivenName
	Surname
	DisplayName
	Title
	MailNickname
	Company
	Office
	SIPAddress
	Telephone
	HomePhone
	Mobile
	OtherTelephone
	IPPhone
	Mail
	GroupType
	Manager
)

// Attribute describes an attribute of contacts. Its ID, from 1, stands for it in
// them.
type Attribute struct {
	ID    uint8
	Field Field
	Name  string // in the directory: "telephoneNumber"
}

// Header describes a file.
type Header struct {
	Name
	Normalized bool   // telephone numbers are followed by their one form
	Source     string // who made it, at most 63 characters
	Attributes []Attribute
}

// Contact is somebody in the address book. One without values, in a delta file, is
// not in it any more.
type Contact struct {
	GUID   [16]byte // as in RFC 9562; the file has it in the order of Windows
	Values []Value
}

// Value is a value of the attribute with that ID. An attribute may have several.
type Value struct {
	ID   uint8
	Text string
}

// Limits of a file.
const (
	MaxAttributes = 64
	MaxContact    = 0xffff - contactFixed // bytes of all values of a contact
	maxName       = 256
)

var (
	fullType  = [16]byte{0x9b, 0x52, 0x1c, 0x7e, 0x43, 0xd1, 0x68, 0x4f, 0xb5, 0x0a, 0x3d, 0xe6, 0x27, 0xf8, 0x91, 0xc4} // ours
	deltaType = [16]byte{0x16, 0xc1, 0x4b, 0xb5, 0x08, 0x90, 0xc7, 0x47, 0xb9, 0xbd, 0xf3, 0xbb, 0x1a, 0x0a, 0xb6, 0xeb}
)

const (
	headerSize     = 16 + 5*2 + sourceSize
	sourceSize     = 128 // UTF-16
	attributeFixed = 2 + 4
	contactFixed   = 16 + 4 // after the length: ours
)
