package sip

import "strings"

// headerID numbers the headers that the server looks for, so that finding one is
// an integer comparison. Numbers have no meaning outside the process.
type headerID uint8

const (
	notLooked headerID = iota
	otherHeader
	firstKnown
)

// known lists the numbered headers; compact forms (RFC 3261 7.3.3 and the
// extensions that define one) stand behind the name.
var known = [...]struct{ name, compact string }{
	{"Via", "v"}, {"From", "f"}, {"To", "t"}, {"Call-ID", "i"}, {"CSeq", ""}, {"Contact", "m"},
	{"Max-Forwards", ""}, {"Content-Length", "l"}, {"Content-Type", "c"}, {"Route", ""},
	{"Record-Route", ""}, {"Expires", ""}, {"Event", "o"}, {"Supported", "k"}, {"Require", ""},
	{"Proxy-Require", ""}, {"Authorization", ""}, {"Proxy-Authorization", ""},
	{"Authentication-Info", ""}, {"Proxy-Authentication-Info", ""}, {"User-Agent", ""},
	{"Subject", "s"}, {"Allow", ""}, {"Allow-Events", "u"}, {"Accept", ""}, {"Refer-To", "r"},
	{"Referred-By", "b"}, {"Content-Encoding", "e"}, {"Session-Expires", "x"},
	{"P-Asserted-Identity", ""}, {"P-Preferred-Identity", ""}, {"Accept-Contact", "a"},
	{"Reject-Contact", "j"}, {"Request-Disposition", "d"}, {"Identity", "y"}, {"Path", ""},
	{"Timestamp", ""}, {"Date", ""}, {"Server", ""}, {"Subscription-State", ""}, {"Warning", ""},
	{"Retry-After", ""}, {"Min-Expires", ""}, {"WWW-Authenticate", ""}, {"Proxy-Authenticate", ""},
	{"Unsupported", ""}, {"SIP-ETag", ""}, {"SIP-If-Match", ""}, {"MIME-Version", ""},
	{"ms-diagnostics", ""}, {"ms-keep-alive", ""},
}

// byLength and byLetter are read-only after package initialisation.
var (
	byLength = buildByLength()
	byLetter = buildByLetter()
)

type numbered struct {
	name string
	id   headerID
}

func buildByLength() (t [32][]numbered) {
	for i, k := range known {
		t[len(k.name)] = append(t[len(k.name)], numbered{k.name, firstKnown + headerID(i)})
	}
	return t
}

func buildByLetter() (t [26]headerID) {
	for i, k := range known {
		if k.compact != "" {
			t[k.compact[0]-'a'] = firstKnown + headerID(i)
		}
	}
	return t
}

func lookupID(name string) headerID {
	if len(name) == 1 {
		if c := name[0] | 0x20; 'a' <= c && c <= 'z' && byLetter[c-'a'] != 0 {
			return byLetter[c-'a']
		}
		return otherHeader
	}
	if len(name) < len(byLength) {
		for _, k := range byLength[len(name)] {
			if k.name == name {
				return k.id
			}
		}
		for _, k := range byLength[len(name)] {
			if strings.EqualFold(k.name, name) {
				return k.id
			}
		}
	}
	return otherHeader
}
