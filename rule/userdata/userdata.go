// Package userdata is the file that Export-CsUserData writes and Import-CsUserData
// reads: a ZIP archive of two XML documents, laid out as the product's. The document
// [Content_Types].xml says what the others are (ECMA-376 part 2), DocItemSet.xml has
// an item for each user. What is in an item is the user's record as rule/groupstate
// exports it, in base64; files of the product itself have other items and are refused.
package userdata

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"io"
	"strings"

	"trivet/fault"
	"trivet/rule/groupstate"
)

// Bounds of a file.
const (
	MaxFile    = 64 << 20  // bytes of the archive
	maxContent = 256 << 20 // bytes of a document once unpacked
)

const (
	typesName  = "[Content_Types].xml"
	itemsName  = "DocItemSet.xml"
	namespaces = "urn:trivet:userdata:" // followed by the version
	namespace  = namespaces + "1"
	itemPrefix = "urn:hcd:" // before the user's address, as the product names items of users

	contentTypes = xml.Header + `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="xml" ContentType="text/xml"/></Types>` + "\n"
)

// item is a user in the document. The numbers are for people who look at it.
type item struct {
	XMLName     xml.Name `xml:"DocItem"`
	Name        string   `xml:"Name,attr"`
	Contacts    int      `xml:"Contacts,attr"`
	Conferences int      `xml:"Conferences,attr"`
	Data        string   `xml:"Data"`
}

// Contacts is how many contacts a record has.
func Contacts(r *groupstate.Record) int {
	if r.Contacts == nil {
		return 0
	}
	return len(r.Contacts.Contacts)
}

// Write makes the file of the records, in the order given; the same records make the
// same bytes. More than fits in MaxFile is fault.Limit.
func Write(list []*groupstate.Record) ([]byte, error) {
	const op = "userdata.Write"
	var file bytes.Buffer
	archive := zip.NewWriter(&file)
	part, err := archive.Create(typesName)
	if err == nil {
		_, err = io.WriteString(part, contentTypes)
	}
	if err == nil {
		part, err = archive.Create(itemsName)
	}
	if err == nil {
		err = writeItems(part, list)
	}
	if err == nil {
		err = archive.Close()
	}
	switch {
	case err != nil:
		return nil, fault.Wrap(op, err)
	case file.Len() > MaxFile:
		return nil, fault.Newf(fault.Limit, op, "the data of %d users is more than the 64 MiB of a file; export fewer at once, with -UserFilter", len(list)).About("UserFilter")
	}
	return file.Bytes(), nil
}

func writeItems(w io.Writer, list []*groupstate.Record) error {
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", " ")
	root := xml.StartElement{Name: xml.Name{Local: "DocItemSet"}, Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}}}
	if err := e.EncodeToken(root); err != nil {
		return err
	}
	for _, r := range list {
		it := item{Name: itemPrefix + r.User.Bare(), Contacts: Contacts(r), Conferences: len(r.Conferences), Data: base64.StdEncoding.EncodeToString(r.Export())}
		if err := e.Encode(it); err != nil {
			return err
		}
	}
	if err := e.EncodeToken(root.End()); err != nil {
		return err
	}
	return e.Close()
}

// Read returns the records of a file, in its order, each user once. What is no such
// file or is damaged is fault.Invalid, one of a newer release or of another product
// fault.Unsupported, a larger one fault.Limit.
func Read(b []byte) ([]*groupstate.Record, error) {
	return read(b, maxContent)
}

// read is Read of documents of so many bytes.
func read(b []byte, limit int64) ([]*groupstate.Record, error) {
	const op = "userdata.Read"
	if len(b) > MaxFile {
		return nil, fault.New(fault.Limit, op, "a file of user data has at most 64 MiB; export fewer users at once, with -UserFilter")
	}
	archive, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fault.New(fault.Invalid, op, "this is not a file that Export-CsUserData wrote: it is no ZIP archive").Because(err)
	}
	for _, f := range archive.File {
		if f.Name != itemsName {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return nil, fault.New(fault.Invalid, op, itemsName+" in the archive cannot be unpacked").Because(err)
		}
		defer r.Close()
		within := &io.LimitedReader{R: r, N: limit}
		list, err := readItems(within)
		if err != nil && within.N == 0 {
			return nil, fault.New(fault.Limit, op, itemsName+" is larger than 256 MiB; export fewer users at once, with -UserFilter")
		}
		return list, err
	}
	return nil, fault.New(fault.Invalid, op, "this is not a file that Export-CsUserData wrote: "+itemsName+" is not in the archive")
}

func readItems(r io.Reader) (list []*groupstate.Record, err error) {
	const op = "userdata.Read"
	damaged := func(err error) error {
		return fault.New(fault.Invalid, op, itemsName+" is damaged; take another copy of the file").Because(err)
	}
	d, inside, seen := xml.NewDecoder(r), false, map[string]bool{}
	for {
		token, err := d.Token()
		if err == io.EOF && inside {
			return list, nil
		}
		if err != nil {
			return nil, damaged(err)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if !inside {
			if start.Name != (xml.Name{Space: namespace, Local: "DocItemSet"}) {
				return nil, foreign(op, start.Name)
			}
			inside = true
			continue
		}
		var it item
		if err := d.DecodeElement(&it, &start); err != nil {
			return nil, damaged(err)
		}
		if seen[it.Name] {
			return nil, fault.New(fault.Invalid, op, itemsName+" has a user twice; export again").About(clip(it.Name))
		}
		seen[it.Name] = true
		record, err := it.record(op)
		if err != nil {
			return nil, err
		}
		list = append(list, record)
	}
}

// foreign is the refusal of a document that begins with another element.
func foreign(op string, name xml.Name) error {
	if strings.HasPrefix(name.Space, namespaces) {
		return fault.New(fault.Unsupported, op, "the file is of a newer release, which this version cannot read")
	}
	return fault.New(fault.Unsupported, op, itemsName+" was not written by this product, whose user data alone can be imported")
}

func (it *item) record(op string) (*groupstate.Record, error) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(it.Data))
	if err != nil {
		return nil, fault.New(fault.Invalid, op, "the data of an item is not in base64; take another copy of the file").About(clip(it.Name)).Because(err)
	}
	r, err := groupstate.ReadRecord(b)
	if err != nil {
		return nil, err
	}
	if it.Name != itemPrefix+r.User.Bare() {
		return nil, fault.Newf(fault.Invalid, op, "an item has the data of another user than it names; export again").About(clip(it.Name))
	}
	return r, nil
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
