package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"trivet/wire/sip"
)

// trial is a torture message and what this server, asked by a stranger, answers.
type trial struct {
	name   string
	want   int    // silent: no answer
	stream []int  // over TCP, nil: want alone
	header string // "Name: part of its value" that the answer needs
	why    string // where the RFC leaves a choice, or asks something of other elements
}

const (
	asksUser  = "sound; who asks about a user has to sign in"
	asksProxy = "sound; a session is passed on for users only"
	asksSign  = "sound; REGISTER needs credentials"
	notOurs   = "a response to nothing that was asked; dropped"
)

// trials4475 has every message of RFC 4475.
var trials4475 = []trial{
	{"wsinv", 407, nil, "", asksProxy},
	{"intmeth", 405, nil, "Allow: INVITE", "sound, a method that nobody serves"},
	{"esc01", 407, nil, "", asksProxy},
	{"escnull", 401, nil, "", asksSign},
	{"esc02", 405, nil, "Allow: REGISTER", "not to be taken for a REGISTER"},
	{"lwsdisp", 403, nil, "", asksUser},
	{"longreq", 407, nil, "", asksProxy},
	{"dblreq", 401, []int{401, 407}, "", "a datagram is one message; a stream goes on with the next"},
	{"semiuri", 403, nil, "", asksUser},
	{"transports", 403, nil, "", asksUser},
	{"mpart01", 407, nil, "", asksProxy},
	{"unreason", silent, nil, "", notOurs},
	{"noreason", silent, nil, "", notOurs},
	{"badinv01", 400, nil, "", ""},
	{"clerr", 400, []int{}, "", "a stream waits for the rest, until the time to sign in is over"},
	{"ncl", 400, nil, "", ""},
	{"scalar02", 400, nil, "", ""},
	{"scalarlg", silent, nil, "", "a broken response is dropped"},
	{"quotbal", 400, nil, "", ""},
	{"ltgtruri", 400, nil, "", ""},
	{"lwsruri", 400, nil, "", ""},
	{"lwsstart", 400, nil, "", ""},
	{"trws", 400, nil, "", "the RFC allows leniency"},
	{"escruri", 400, nil, "", "the RFC allows leniency"},
	{"baddate", 407, nil, "", "the RFC allows to ignore Date, which is never used"},
	{"regbadct", 400, nil, "", ""},
	{"badaspec", 400, nil, "", ""},
	{"baddn", 400, nil, "", "the RFC allows leniency"},
	{"badvers", 505, nil, "", ""},
	{"mismatch01", 400, nil, "", ""},
	{"mismatch02", 400, nil, "", "501 would do as well"},
	{"bigcode", silent, nil, "", "a broken response is dropped"},
	{"badbranch", 403, nil, "", "a branch without content counts as none; " + asksUser},
	{"insuf", silent, nil, "", "without From, To and Call-ID no answer would find its request; the RFC asks only not to break"},
	{"unkscm", 416, nil, "", ""},
	{"novelsc", 416, nil, "", ""},
	{"unksm2", 400, nil, "", ""},
	{"bext01", 420, nil, "Unsupported: nothingSupportsThis", ""},
	{"invut", 407, nil, "", "415 is for whoever takes the session; a proxy does not look into bodies. " + asksProxy},
	{"regaut01", 401, nil, "WWW-Authenticate: Digest", ""},
	{"multi01", 400, nil, "", ""},
	{"mcl01", 400, nil, "", ""},
	{"bcast", silent, nil, "", "the topmost Via is another's"},
	{"zeromf", 483, nil, "", ""},
	{"cparam01", 401, nil, "", asksSign},
	{"cparam02", 401, nil, "", asksSign},
	{"regescrt", 401, nil, "", asksSign},
	{"sdp01", 407, nil, "", "406 is for whoever takes the session. " + asksProxy},
	{"inv2543", 407, nil, "", asksProxy},
}

// trials5118 has every message of RFC 5118.
var trials5118 = []trial{
	{"ipv6-good", 401, nil, "", asksSign},
	{"ipv6-bad", 400, nil, "", ""},
	{"port-ambiguous", 401, nil, "", "an address, no port; " + asksSign},
	{"port-unambiguous", 401, nil, "", asksSign},
	{"via-received-param-with-delim", 407, nil, "", asksProxy},
	{"via-received-param-no-delim", 200, nil, "", "OPTIONS for a server"},
	{"ipv6-in-sdp", 407, nil, "", asksProxy},
	{"mult-ip-in-header", 407, nil, "", asksProxy},
	{"mult-ip-in-sdp", 407, nil, "", asksProxy},
	{"ipv4-mapped-ipv6", 407, nil, "", asksProxy},
	{"ipv6-bug-abnf-3-colons", 403, nil, "", "tolerated, as the RFC asks; " + asksUser},
	{"ipv6-correct-abnf-2-colons", 403, nil, "", asksUser},
}

func TestTorture(t *testing.T) {
	s := shared(t)
	for _, set := range []struct {
		rfc    string
		trials []trial
	}{{"rfc4475", trials4475}, {"rfc5118", trials5118}} {
		files, err := filepath.Glob("../../wire/sip/testdata/" + set.rfc + "/*.dat")
		if err != nil || len(files) != len(set.trials) {
			t.Fatalf("%s: %d messages, %d verdicts: none may be left out", set.rfc, len(files), len(set.trials))
		}
		for _, c := range set.trials {
			raw, err := os.ReadFile("../../wire/sip/testdata/" + set.rfc + "/" + c.name + ".dat")
			if err != nil {
				t.Fatal(err)
			}
			for _, network := range []string{"udp", "tcp"} {
				want := []int{c.want}
				switch {
				case network == "tcp" && c.stream != nil:
					want = c.stream
				case c.want == silent:
					want = nil
				}
				answers, state := s.torment(t, network, raw, len(want))
				got, mark := statuses(answers), "ok"
				if !slices.Equal(got, want) || !has(answers, c.header) {
					mark = "WRONG"
					t.Errorf("%s over %s: got %v, want %v with %q\n%v", c.name, network, got, want, c.header, answers)
				}
				t.Logf("%s %-29s %s want %-9v got %-9v %-5s %-6s %s", set.rfc, c.name, network, want, got, mark, state, c.why)
			}
		}
	}
}

func statuses(answers []*sip.Message) (out []int) {
	for _, m := range answers {
		out = append(out, m.Status)
	}
	return out
}

func has(answers []*sip.Message, header string) bool {
	name, part, _ := strings.Cut(header, ": ")
	return header == "" || len(answers) > 0 && strings.Contains(answers[0].Get(name), part)
}

const pingID = "torture-ping"

// torment sends raw, then a ping, and returns the final answers that came before
// the pong, or later as long as there is hope for more, and whether the connection
// is still in use.
func (s *Server) torment(t *testing.T, network string, raw []byte, hope int) (answers []*sip.Message, state string) {
	t.Helper()
	addr := s.UDP
	if network == "tcp" {
		addr = s.TCP
	}
	nc, err := net.Dial(network, addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	ping := func(n int) {
		fmt.Fprintf(nc, "OPTIONS sip:%s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bKping%d\r\nFrom: <sip:ping@%s>;tag=1\r\nTo: <sip:%s>\r\nCall-ID: %s\r\nCSeq: %d OPTIONS\r\nContent-Length: 0\r\n\r\n",
			domain, strings.ToUpper(network), nc.LocalAddr(), n, domain, domain, pingID, n)
	}
	if _, err := nc.Write(raw); err != nil {
		t.Fatal(err)
	}
	ping(1)
	var buf []byte
	pongs := 0
	for chunk := make([]byte, 64<<10); ; {
		nc.SetReadDeadline(time.Now().Add(2 * time.Second))
		n, err := nc.Read(chunk)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return answers, "waits"
		case errors.Is(err, io.EOF) || err != nil:
			return answers, "closed"
		case network == "udp":
			buf = chunk[:n]
		default:
			buf = append(buf, chunk[:n]...)
		}
		var rest []byte
		for _, m := range framedRest(buf, &rest, network == "udp") {
			switch {
			case m.CallID() == pingID:
				pongs++
			case m.Status >= 200 || m.IsRequest():
				answers = append(answers, m)
			}
		}
		buf = rest
		if pongs == 1 { // what was handled beside the first ping comes before the second pong
			ping(2)
		}
		if pongs >= 2 && len(answers) >= hope {
			return answers, "open"
		}
	}
}

// framedRest takes the whole messages off b.
func framedRest(b []byte, rest *[]byte, datagram bool) (out []*sip.Message) {
	if datagram {
		if m, err := sip.Parse(b); err == nil {
			out = append(out, m)
		}
		return out
	}
	for {
		skip, size, err := sip.Frame(b, sip.DefaultLimits)
		if b = b[skip:]; err != nil || size == 0 || size > len(b) {
			*rest = b
			return out
		}
		if m, err := sip.Parse(b[:size]); err == nil {
			out = append(out, m)
		}
		b = b[size:]
	}
}
