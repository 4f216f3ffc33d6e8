package sip

import (
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// verdict is what RFC 4475 or RFC 5118 asks an element for.
type verdict struct {
	name    string
	want    int // 0: well-formed; 400…: the refusal; drop: a response to discard
	section string
	why     string // why the RFC leaves a choice, or what decides beyond syntax
}

const drop = -1

// torture4475 has every message of RFC 4475. Where an element further in decides
// (extensions, media types, hops), syntax accepts and link/sipmux has the verdict.
var torture4475 = []verdict{
	{"wsinv", 0, "3.1.1.1", ""}, {"intmeth", 0, "3.1.1.2", ""}, {"esc01", 0, "3.1.1.3", ""},
	{"escnull", 0, "3.1.1.4", ""}, {"esc02", 0, "3.1.1.5", ""}, {"lwsdisp", 0, "3.1.1.6", ""},
	{"longreq", 0, "3.1.1.7", ""}, {"dblreq", 0, "3.1.1.8", "the second request is dropped with the rest of the datagram"},
	{"semiuri", 0, "3.1.1.9", ""}, {"transports", 0, "3.1.1.10", ""}, {"mpart01", 0, "3.1.1.11", ""},
	{"unreason", 0, "3.1.1.12", ""}, {"noreason", 0, "3.1.1.13", ""},
	{"badinv01", 400, "3.1.2.1", ""}, {"clerr", 400, "3.1.2.2", ""}, {"ncl", 400, "3.1.2.3", ""},
	{"scalar02", 400, "3.1.2.4", ""}, {"scalarlg", drop, "3.1.2.5", ""}, {"quotbal", 400, "3.1.2.6", ""},
	{"ltgtruri", 400, "3.1.2.7", ""}, {"lwsruri", 400, "3.1.2.8", ""}, {"lwsstart", 400, "3.1.2.9", ""},
	{"trws", 400, "3.1.2.10", "the RFC allows leniency; refused"}, {"escruri", 400, "3.1.2.11", "the RFC allows leniency; refused"},
	{"baddate", 0, "3.1.2.12", "the RFC allows to ignore Date; it is never used"}, {"regbadct", 400, "3.1.2.13", ""},
	{"badaspec", 400, "3.1.2.14", ""}, {"baddn", 400, "3.1.2.15", "the RFC allows leniency; refused"},
	{"badvers", 505, "3.1.2.16", ""}, {"mismatch01", 400, "3.1.2.17", ""}, {"mismatch02", 400, "3.1.2.18", "501 would do as well"},
	{"bigcode", drop, "3.1.2.19", ""},
	{"badbranch", 0, "3.2.1", "treated as a branch of RFC 2543: the whole request is the key"},
	{"insuf", 400, "3.3.1", ""}, {"unkscm", 416, "3.3.2", ""}, {"novelsc", 416, "3.3.3", ""}, {"unksm2", 400, "3.3.4", ""},
	{"bext01", 0, "3.3.5", "420 by the route table"}, {"invut", 0, "3.3.6", "415 by whoever takes the session; a proxy relays"},
	{"regaut01", 0, "3.3.7", "401 by the authenticator"}, {"multi01", 400, "3.3.8", ""}, {"mcl01", 400, "3.3.9", ""},
	{"bcast", 0, "3.3.10", "dropped by the transaction layer: the topmost Via is not ours"},
	{"zeromf", 0, "3.3.11", "483 by the proxy, or answered when the server itself is asked"},
	{"cparam01", 0, "3.3.12", ""}, {"cparam02", 0, "3.3.13", ""}, {"regescrt", 0, "3.3.14", ""},
	{"sdp01", 0, "3.3.15", "406 by whoever takes the session; a proxy relays"}, {"inv2543", 0, "3.3.16", ""},
}

// torture5118 has every message of RFC 5118.
var torture5118 = []verdict{
	{"ipv6-good", 0, "4.1", ""}, {"ipv6-bad", 400, "4.2", ""}, {"port-ambiguous", 0, "4.3", "an address, no port"},
	{"port-unambiguous", 0, "4.4", ""}, {"via-received-param-with-delim", 0, "4.5", ""},
	{"via-received-param-no-delim", 0, "4.5", ""}, {"ipv6-in-sdp", 0, "4.6", ""}, {"mult-ip-in-header", 0, "4.7", ""},
	{"mult-ip-in-sdp", 0, "4.8", ""}, {"ipv4-mapped-ipv6", 0, "4.9", ""},
	{"ipv6-bug-abnf-3-colons", 0, "4.10", "tolerated, as the RFC asks"}, {"ipv6-correct-abnf-2-colons", 0, "4.10", ""},
}

func TestTortureRFC4475(t *testing.T) { torment(t, "rfc4475", torture4475) }
func TestTortureRFC5118(t *testing.T) { torment(t, "rfc5118", torture5118) }

func torment(t *testing.T, rfc string, cases []verdict) {
	files, err := filepath.Glob("testdata/" + rfc + "/*.dat")
	if err != nil || len(files) != len(cases) {
		t.Fatalf("%d messages, %d verdicts: none may be left out", len(files), len(cases))
	}
	sort.Strings(files)
	for _, c := range cases {
		raw, err := os.ReadFile("testdata/" + rfc + "/" + c.name + ".dat")
		if err != nil {
			t.Error(err)
			continue
		}
		got, why := judge(raw)
		mark := "ok"
		if got != c.want {
			mark = "WRONG"
			t.Errorf("%s: got %d (%v), want %d", c.name, got, why, c.want)
		}
		note := c.why
		if why != nil {
			note = strings.TrimSpace(why.Error() + "; " + note)
		}
		t.Logf("%s %-9s %-30s want %3d got %3d %-5s %s", rfc, c.section, c.name, c.want, got, mark, strings.TrimSuffix(note, ";"))
	}
}

// judge does what the transaction layer does with a datagram.
func judge(raw []byte) (int, error) {
	var m Message
	err := m.Parse(raw, DefaultLimits)
	status := 400
	if err == nil {
		if status, err = m.Check(); err == nil {
			return 0, nil
		}
	} else if IsVersion(err) {
		status = 505
	}
	if !m.IsRequest() {
		return drop, err
	}
	return status, err
}
