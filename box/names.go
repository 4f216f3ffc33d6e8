package box

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"trivet/fault"
	"trivet/kit/life"
)

const (
	portDNS   = 5353
	nameTTL   = 5 // seconds
	maxDNS    = 4096
	firstFree = 20 // numbers of boxes that are tried when none is given
	lastFree  = 250
)

// records are the names of a deployment, in lower case with a dot at the end.
type records struct {
	zone string
	a    map[string][]netip.Addr
	srv  map[string]target
}

type target struct {
	host string
	port uint16
}

// records are the names that clients look up (docs/administration.md).
func (p Plan) records() records {
	r := records{zone: p.Domain + ".", a: map[string][]netip.Addr{}, srv: map[string]target{}}
	pool := string(p.Pool) + "."
	for _, s := range p.Servers {
		r.a[string(s.FQDN)+"."] = []netip.Addr{s.Addr}
		for _, name := range []string{pool, "sip." + r.zone, "lyncdiscover." + r.zone, "lyncdiscoverinternal." + r.zone} {
			r.a[name] = append(r.a[name], s.Addr)
		}
	}
	for _, service := range []string{"_sipinternaltls._tcp.", "_sip._tls.", "_sips._tcp."} {
		r.srv[service+r.zone] = target{pool, 5061}
	}
	return r
}

// names are the sockets that answer for the names of a box. They also hold its
// number: no two boxes have the same.
type names struct {
	udp net.PacketConn
	tcp net.Listener
}

// listenNames takes a number, the first that is free for 0.
func listenNames(number byte) (names, byte, error) {
	from, to := number, number
	if number == 0 {
		from, to = firstFree, lastFree
	}
	var last error
	for n := int(from); n <= int(to); n++ {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, byte(n), 53}), portDNS).String()
		var s names
		if s.tcp, last = net.Listen("tcp", addr); last != nil {
			continue
		}
		if s.udp, last = net.ListenPacket("udp", addr); last == nil {
			return s, byte(n), nil
		}
		s.tcp.Close()
	}
	return names{}, 0, fault.New(fault.Unavailable, "box.names", "no number is free; another lab runs with it, or the loopback addresses cannot be used").Because(last)
}

// DNS is the address that answers for the names of the box.
func (p Plan) DNS() netip.AddrPort { return netip.AddrPortFrom(p.addr(53), portDNS) }

func (s names) serve(g *life.Group, r records) {
	context.AfterFunc(g.Context(), func() { s.udp.Close(); s.tcp.Close() })
	g.Go("names over UDP", func(ctx context.Context) error {
		buf := make([]byte, maxDNS)
		for {
			n, from, err := s.udp.ReadFrom(buf)
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			if err != nil {
				continue
			}
			if b := r.answer(buf[:n]); b != nil {
				s.udp.WriteTo(b, from)
			}
		}
	})
	g.Go("names over TCP", func(ctx context.Context) error {
		for {
			c, err := s.tcp.Accept()
			if err != nil {
				return nil
			}
			g.Go("a client of names", func(context.Context) error { r.serveTCP(c); return nil })
		}
	})
}

// serveTCP answers one question, as RFC 1035 4.2.2 frames it.
func (r records) serveTCP(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(probeTime))
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return
	}
	q := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(c, q); err != nil {
		return
	}
	if b := r.answer(q); b != nil {
		c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	}
}

// answer makes the answer to a question, nil to what is none.
func (r records) answer(q []byte) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(q)
	if err != nil || h.Response {
		return nil
	}
	question, err := p.Question()
	if err != nil {
		return nil
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: h.ID, Response: true, Authoritative: true, RecursionDesired: h.RecursionDesired},
		Questions: []dnsmessage.Question{question},
	}
	name := strings.ToLower(question.Name.String())
	head := dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: dnsmessage.ClassINET, TTL: nameTTL}
	addrs, isHost := r.a[name]
	to, isService := r.srv[name]
	switch {
	case !strings.HasSuffix("."+name, "."+r.zone):
		m.RCode = dnsmessage.RCodeRefused
	case !isHost && !isService:
		m.RCode = dnsmessage.RCodeNameError
	case isHost && question.Type == dnsmessage.TypeA:
		for _, a := range addrs {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: a.As4()}})
		}
	case isService && question.Type == dnsmessage.TypeSRV:
		host, err := dnsmessage.NewName(to.host)
		if err != nil {
			return nil
		}
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.SRVResource{Port: to.port, Target: host}})
	}
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return b
}
