package presdoc

import (
	"slices"

	"trivet/wire/xmlpull"
)

// Category is a published category instance as the server hands it out.
// Container, ExpireType and Expires are for the owner only.
type Category struct {
	Name        string
	Instance    uint32
	Container   uint32
	Version     uint32
	PublishTime int64 // Unix milliseconds
	ExpireType  ExpireType
	Expires     uint32 // seconds left, of TimeBound
	Body        string // the element inside, "" for none
}

// Categories is what a watcher is told about one person, a body of TypeCategories.
// Names are the categories the document speaks of: those of them that are not in
// List are written as an empty element, which clears them at the watcher.
// Categories in List need not be in Names.
type Categories struct {
	URI   string
	Names []string
	List  []Category
}

// Append writes the document.
func (c Categories) Append(b []byte) []byte { return c.append(b, false) }

func (c Categories) append(b []byte, own bool) []byte {
	b = slices.Grow(b, c.size())
	b = append(b, `<categories xmlns="`+nsCategories+`"`...)
	b = append(xmlpull.AppendAttr(b, "uri", withScheme(c.URI)), '>')
	for i := range c.List {
		b = c.List[i].append(b, own)
	}
	for _, name := range c.Names {
		if !slices.ContainsFunc(c.List, func(x Category) bool { return x.Name == name }) {
			b = append(xmlpull.AppendAttr(append(b, "<category"...), "name", name), "/>"...)
		}
	}
	return append(b, "</categories>"...)
}

// size is how long the document is, about.
func (c Categories) size() int {
	const tag = 192 // of a category with its attributes
	n := tag + len(c.URI) + len(c.Names)*32
	for i := range c.List {
		n += tag + len(c.List[i].Body)
	}
	return n
}

func (c *Category) append(b []byte, own bool) []byte {
	b = xmlpull.AppendAttr(append(b, "<category"...), "name", c.Name)
	b = xmlpull.AppendUint(b, "instance", uint64(c.Instance))
	b = appendTime(b, "publishTime", c.PublishTime)
	if own {
		b = xmlpull.AppendUint(b, "container", uint64(c.Container))
	}
	b = xmlpull.AppendUint(b, "version", uint64(c.Version))
	if own {
		b = xmlpull.AppendAttr(b, "expireType", c.ExpireType.String())
		if c.ExpireType == TimeBound {
			b = xmlpull.AppendUint(b, "expires", uint64(c.Expires))
		}
	}
	if c.Body == "" {
		return append(b, "/>"...)
	}
	return append(append(append(b, '>'), c.Body...), "</category>"...)
}

// ParseCategories reads a categories document. An element without instance says
// that nothing is left of its category; its name is in Names only.
func ParseCategories(b []byte) (Categories, error) {
	var c Categories
	err := read("ParseCategories", b, "categories", func(s *xmlpull.Scanner) { c = readCategories(s, false) })
	if err != nil {
		return Categories{}, err
	}
	return c, nil
}

func readCategories(s *xmlpull.Scanner, own bool) Categories {
	c := Categories{URI: s.Attr("uri")}
	for name := range s.Children() {
		if name != "category" || full(s, len(c.List)+len(c.Names), 1024, "categories") {
			continue
		}
		x, empty := readCategory(s, own)
		if !slices.Contains(c.Names, x.Name) && !full(s, len(c.Names), MaxNames, "categories") {
			c.Names = append(c.Names, x.Name)
		}
		if !empty {
			c.List = append(c.List, x)
		}
	}
	return c
}

func readCategory(s *xmlpull.Scanner, own bool) (c Category, empty bool) {
	c = Category{Name: s.Attr("name"), Instance: s.Uint32("instance"), Version: s.Uint32("version"), PublishTime: readTime(s, "publishTime")}
	_, instance := s.Lookup("instance")
	container := true
	if own {
		c.Container, c.Expires, c.ExpireType = s.Uint32("container"), s.Uint32("expires"), readExpireType(s)
		_, container = s.Lookup("container")
	}
	if c.Name == "" || len(c.Name) > 64 {
		s.Fail("a category needs a name of at most 64 bytes")
	}
	c.Body = readBody(s)
	return c, !instance || !container
}
