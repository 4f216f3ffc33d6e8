package load

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
)

// request is a request of an endpoint before it is written.
type request struct {
	method   string
	uri      string // request URI
	to       string // address in To
	toTag    string
	callID   string
	cseq     uint32 // 0: the number of the request itself
	routes   []string
	expires  int    // -1 for none
	more     string // further header lines, each with its CRLF
	kind     string // Content-Type of body
	body     []byte
	plain    bool // shows no sign of a Lync client
	unsigned bool // the answer to a challenge brings its own Authorization, in more
}

const noExpires = -1

// product names this program in requests.
const product = "Trivet-load/1"

// append writes the request with the number seq, signed if there is an association.
func (e *endpoint) append(b []byte, q *request, seq uint32) []byte {
	u := e.user
	cseq := q.cseq
	if cseq == 0 {
		cseq = seq
	}
	b = append(append(append(append(b, q.method...), ' '), q.uri...), " SIP/2.0\r\nVia: SIP/2.0/"...)
	b = append(append(append(append(b, e.run.transport...), ' '), e.link.local...), ";branch="+branchPrefix...)
	b = e.appendID(b, seq)
	b = append(append(append(b, "\r\nMax-Forwards: 70\r\nFrom: <"...), u.address...), ">;tag="...)
	b = append(b, e.epid...)
	if !q.plain {
		b = append(append(b, ";epid="...), e.epid...)
	}
	b = append(append(append(b, "\r\nTo: <"...), q.to...), '>')
	if q.toTag != "" {
		b = append(append(b, ";tag="...), q.toTag...)
	}
	b = append(append(append(b, "\r\nCall-ID: "...), q.callID...), "\r\nCSeq: "...)
	b = strconv.AppendUint(b, uint64(cseq), 10)
	b = append(append(append(b, ' '), q.method...), "\r\nUser-Agent: "+product+"\r\n"...)
	for _, r := range q.routes {
		b = append(append(append(b, "Route: "...), r...), "\r\n"...)
	}
	expires := ""
	if q.expires >= 0 {
		expires = strconv.Itoa(q.expires)
		b = append(append(append(b, "Expires: "...), expires...), "\r\n"...)
	}
	b = append(b, q.more...)
	if e.proof != nil && !q.unsigned {
		b = e.proof.sign(b, seal{callID: q.callID, cseq: cseq, method: q.method, from: u.address, fromTag: e.epid, to: q.to, toTag: q.toTag, expires: expires})
	}
	if q.kind != "" {
		b = append(append(append(b, "Content-Type: "...), q.kind...), "\r\n"...)
	}
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(len(q.body)), 10)
	return append(append(b, "\r\n\r\n"...), q.body...)
}

const branchPrefix = "z9hG4bKl"

// appendID writes what names a request of an endpoint in this run.
func (e *endpoint) appendID(b []byte, seq uint32) []byte {
	b = append(append(b, e.run.id...), '-')
	b = append(strconv.AppendInt(b, int64(e.id), 36), '-')
	return strconv.AppendUint(b, uint64(seq), 36)
}

// numberOf is the number of the request that a branch belongs to, 0 if it is none
// of ours.
func numberOf(branch []byte) uint32 {
	s := string(branch)
	if !strings.HasPrefix(s, branchPrefix) {
		return 0
	}
	n, err := strconv.ParseUint(s[strings.LastIndexByte(s, '-')+1:], 36, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// seal is what a signature covers beside the association, [MS-SIPAE] 3.1.4.2.
type seal struct {
	callID            string
	cseq              uint32
	method            string
	from, fromTag     string
	to, toTag         string
	expires           string
	status            int // of a response
	pai, telephoneURI string
}

func (s *seal) append(b []byte, scheme, rand, num string, p *association) []byte {
	field := func(v string) { b = append(append(append(b, '<'), v...), '>') }
	for _, v := range [...]string{scheme, rand, num, p.realm, p.target, s.callID} {
		field(v)
	}
	b = append(strconv.AppendUint(append(b, '<'), uint64(s.cseq), 10), '>')
	for _, v := range [...]string{s.method, s.from, s.fromTag, s.to, s.toTag, s.pai, s.telephoneURI, s.expires} {
		field(v)
	}
	if s.status > 0 {
		b = append(strconv.AppendInt(append(b, '<'), int64(s.status), 10), '>')
	}
	return b
}

// sign writes the Authorization line of an established association.
func (p *association) sign(b []byte, s seal) []byte {
	p.count++
	num := strconv.FormatUint(p.count, 10)
	crand := crandOf(p.count)
	sig := p.session.Sign(s.append(b[len(b):], "NTLM", crand, num, p)) // the text stands where the header will
	b = append(b, `Authorization: NTLM qop="auth", opaque="`...)
	b = append(append(b, p.opaque...), `", realm="`...)
	b = append(append(b, p.realm...), `", targetname="`...)
	b = append(append(b, p.target...), `", crand="`...)
	b = append(append(b, crand...), `", cnum="`...)
	b = append(append(b, num...), `", response="`...)
	b = hex.AppendEncode(b, sig[:])
	if p.token != nil {
		b = append(b, `", gssapi-data="`...)
		b = base64.StdEncoding.AppendEncode(b, p.token)
		p.token = nil
	}
	return append(b, "\", version=4\r\n"...)
}

// crandOf makes eight hexadecimal digits that differ from message to message.
func crandOf(n uint64) string {
	const digits = "0123456789abcdef"
	x := uint32(n * 0x9E3779B1)
	var b [8]byte
	for i := range b {
		b[i] = digits[x&15]
		x >>= 4
	}
	return string(b[:])
}
