package userdata

import (
	"archive/zip"
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/rule/groupstate"
	"trivet/uc"
)

// record is that of a user who has as many contacts.
func record(t testing.TB, user uc.UserURI, contacts ...string) *groupstate.Record {
	t.Helper()
	s := groupstate.New()
	steps := []groupstate.Command{&groupstate.EnableUser{User: user, Now: 5}}
	for i, c := range contacts {
		steps = append(steps, &groupstate.SetContact{User: user, Delta: uint32(1 + i), Max: 9, Contact: groupstate.Contact{URI: c, Name: "N", Groups: groupstate.Groups(1)}})
	}
	for _, cmd := range steps {
		if res, _ := s.Apply(1, groupstate.Encode(cmd)); groupstate.Refused(res) != nil {
			t.Fatal(groupstate.Refused(res))
		}
	}
	return s.User(user).Record()
}

func file(t testing.TB) []byte {
	t.Helper()
	b, err := Write([]*groupstate.Record{record(t, "sip:alice@example.test", "sip:bob@example.test", "sip:carol@example.test"), record(t, "sip:o'neil@example.test")})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	t.Parallel()
	b := file(t)
	if again := file(t); !bytes.Equal(b, again) {
		t.Error("the same records make other bytes")
	}
	list, err := Read(b)
	if err != nil || len(list) != 2 {
		t.Fatalf("%d records, %v", len(list), err)
	}
	if Contacts(list[0]) != 2 || Contacts(list[1]) != 0 || list[1].User != "sip:o'neil@example.test" {
		t.Errorf("read %+v and %+v", list[0], list[1])
	}
	second, err := Write(list)
	if err != nil || !bytes.Equal(b, second) {
		t.Errorf("what was read is written otherwise (%v)", err)
	}
	none, err := Write(nil)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := Read(none); err != nil || len(list) != 0 {
		t.Errorf("a file of nobody has %d records, %v", len(list), err)
	}
}

// TestTheArchiveHasTwoDocuments is how the product's file looks.
func TestTheArchiveHasTwoDocuments(t *testing.T) {
	t.Parallel()
	names, _ := unpacked(t, file(t))
	if diff := cmp.Diff([]string{"[Content_Types].xml", "DocItemSet.xml"}, names); diff != "" {
		t.Error(diff)
	}
}

func unpacked(t *testing.T, b []byte) (names []string, items string) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		names = append(names, f.Name)
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		items = string(text)
	}
	return names, items
}

func packed(t *testing.T, name, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWhatIsNoFile(t *testing.T) {
	t.Parallel()
	good := file(t)
	_, items := unpacked(t, good)
	from, to := strings.Index(items, "<DocItem "), strings.Index(items, "</DocItem>")+len("</DocItem>")
	first := items[from:to]
	for name, x := range map[string]struct {
		file []byte
		kind fault.Kind
	}{
		"nothing":              {nil, fault.Invalid},
		"text":                 {[]byte("hello"), fault.Invalid},
		"cut":                  {good[:len(good)-9], fault.Invalid},
		"without the document": {packed(t, "other.xml", items), fault.Invalid},
		"the product's":        {packed(t, itemsName, `<DocItemSet xmlns="urn:schema:other"/>`), fault.Unsupported},
		"of a newer release":   {packed(t, itemsName, strings.Replace(items, namespace, namespaces+"2", 1)), fault.Unsupported},
		"cut document":         {packed(t, itemsName, items[:to]), fault.Invalid},
		"empty document":       {packed(t, itemsName, ""), fault.Invalid},
		"a user twice":         {packed(t, itemsName, items[:to]+first+items[to:]), fault.Invalid},
		"under another name":   {packed(t, itemsName, strings.Replace(items, "urn:hcd:alice@", "urn:hcd:alicia@", 1)), fault.Invalid},
		"another's data":       {packed(t, itemsName, strings.Replace(items, "<Data>", "<Data>AAAA", 1)), fault.Invalid},
		"no base64":            {packed(t, itemsName, strings.Replace(items, "<Data>", "<Data>?", 1)), fault.Invalid},
		"too large a file":     {make([]byte, MaxFile+1), fault.Limit},
	} {
		if list, err := Read(x.file); !fault.Is(err, x.kind) || list != nil {
			t.Errorf("%s: %d records and %v, want %v", name, len(list), err, x.kind)
		}
	}
}

func TestWhatUnpacksToTooMuch(t *testing.T) {
	t.Parallel()
	_, items := unpacked(t, file(t))
	if list, err := read(file(t), int64(len(items))+1); err != nil || len(list) != 2 {
		t.Errorf("what just fits: %d records, %v", len(list), err)
	}
	if _, err := read(file(t), int64(len(items))-9); !fault.Is(err, fault.Limit) {
		t.Errorf("what does not fit: %v", err)
	}
}

// FuzzRead: whatever is read can be written and read again.
func FuzzRead(f *testing.F) {
	f.Add(file(f))
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := Read(b)
		if err != nil {
			return
		}
		again, err := Write(list)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Read(again); err != nil || len(back) != len(list) {
			t.Fatalf("%d of %d records come back, %v", len(back), len(list), err)
		}
	})
}
