package sipauth

import (
	"encoding/base64"
	"strconv"
	"strings"

	"trivet/fault"
	"trivet/uc"
	"trivet/wire/sip"
)

// kind is what sort of client sent a request, as far as it shows.
type kind int

const (
	unsure kind = iota
	lync        // security associations
	plain       // Digest
	old         // Digest with MD5, where the policy has it, and nothing beside it
)

// lyncMarks and plainMarks are members of Supported that only one sort sends.
var (
	lyncMarks  = [...]string{"gruu-10", "msrtc-event-categories", "com.microsoft.msrtc.presence", "ms-benotify"}
	plainMarks = [...]string{"outbound", "path", "gruu", "replaces", "timer", "100rel"}
)

// kindOf judges by headers, never by User-Agent.
//
// COMPAT(baresip 1.0, libre 1.1): it gives up at the first challenge that is not
// Digest with MD5, whatever else is offered. It is known by having no Supported
// at all; clients of the time of RFC 8760 list their extensions.
func kindOf(m *sip.Message) kind {
	if headerParam(m.Get("From"), "epid") != "" {
		return lync
	}
	for _, mark := range lyncMarks {
		if m.Has("Supported", mark) {
			return lync
		}
	}
	for i := range m.Headers {
		if n := m.Headers[i].Name; len(n) > 3 && strings.EqualFold(n[:3], "ms-") {
			return lync
		}
	}
	for _, mark := range plainMarks {
		if m.Has("Supported", mark) {
			return plain
		}
	}
	switch {
	case m.Get("Supported") == "":
		return old
	case headerParam(m.Get("Contact"), "+sip.instance") != "":
		return plain
	}
	return unsure
}

// again answers with a fresh challenge: what the policy offers, as far as the
// client is of the sort that understands it.
func (v *visit) again() (uc.UserURI, *sip.Message, error) { return v.offer(false) }

func (v *visit) offer(stale bool) (uc.UserURI, *sip.Message, error) {
	k := kindOf(v.m)
	digest := v.policy.UseDigest
	assoc := v.policy.UseNtlm || v.policy.UseKerberos || v.policy.UseCertificate
	if !digest && !assoc {
		return "", nil, fault.New(fault.Forbidden, opCheck, "no sign-in method is switched on")
	}
	var lines []string
	if digest && (k != lync || !assoc) {
		lines = v.digestLines(lines, stale, k == old && v.policy.DigestMD5)
	}
	if assoc && (k != plain && k != old || !digest) {
		lines = v.associationLines(lines)
	}
	status, header := 401, "WWW-Authenticate"
	if v.m.Method != "REGISTER" && k != lync {
		status, header = 407, "Proxy-Authenticate"
	}
	res := sip.NewResponse(v.m, status, "")
	for _, l := range lines {
		res.Add(header, l)
	}
	return "", res, nil
}

func (v *visit) associationLines(lines []string) []string {
	tail := func(target string) string {
		return ` realm="` + v.policy.realm() + `", targetname="` + target + `", version=` + strconv.Itoa(sipVersion4)
	}
	fqdn := v.a.cfg.FQDN
	if v.policy.UseNtlm {
		lines = append(lines, "NTLM"+tail(fqdn))
	}
	if v.policy.UseKerberos {
		lines = append(lines, "Kerberos"+tail("sip/"+fqdn))
	}
	if v.policy.UseCertificate {
		lines = append(lines, "TLS-DSK"+tail(fqdn)+`, sts-uri="`+v.a.cfg.STSURI(v.local)+`"`)
	}
	return lines
}

// digestLines offers the stronger algorithm first, RFC 8760 2.4.
func (v *visit) digestLines(lines []string, stale, onlyMD5 bool) []string {
	nonce := v.a.nonces.make(v.addr, v.now)
	for _, alg := range digestAlgorithms {
		if alg.name == "MD5" && !v.policy.DigestMD5 || alg.name != "MD5" && onlyMD5 {
			continue
		}
		l := `Digest realm="` + v.policy.realm() + `", qop="auth", algorithm=` + alg.name + `, nonce="` + nonce + `"`
		if stale {
			l += ", stale=true"
		}
		lines = append(lines, l)
	}
	return lines
}

// proceed answers with the next token of a handshake.
func (v *visit) proceed(s *association, token []byte) *sip.Message {
	res := sip.NewResponse(v.m, 401, "")
	res.Add("WWW-Authenticate", s.scheme.String()+` opaque="`+s.opaque+`", gssapi-data="`+base64.StdEncoding.EncodeToString(token)+
		`", targetname="`+s.target+`", realm="`+s.realm+`", version=`+strconv.Itoa(sipVersion4))
	return res
}
