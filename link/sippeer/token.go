package sippeer

import (
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"strings"

	"trivet/rule/groupstate"
)

// tokenMark begins the user part of a URI that is a flow token.
const tokenMark = "flow."

var tokenCode = base64.RawURLEncoding

// token writes run and number of a flow, and the address of one over UDP.
func token(f *groupstate.Flow) string {
	raw := make([]byte, 16, 48)
	binary.BigEndian.PutUint64(raw, f.Epoch)
	binary.BigEndian.PutUint64(raw[8:], f.Conn)
	if f.Transport == "udp" {
		if addr, err := f.Remote.MarshalBinary(); err == nil {
			raw = append(raw, addr...)
		}
	}
	return tokenMark + tokenCode.EncodeToString(raw)
}

// maxToken bounds a token: two numbers and an IPv6 address with a zone.
const maxToken = 128

// parse undoes token.
func parse(s string) (f groupstate.Flow, ok bool) {
	s, ok = strings.CutPrefix(s, tokenMark)
	if !ok || len(s) > maxToken {
		return f, false
	}
	raw, err := tokenCode.DecodeString(s)
	if err != nil || len(raw) < 16 {
		return f, false
	}
	f.Epoch, f.Conn = binary.BigEndian.Uint64(raw), binary.BigEndian.Uint64(raw[8:])
	if len(raw) > 16 {
		var at netip.AddrPort
		if at.UnmarshalBinary(raw[16:]) != nil || !at.IsValid() {
			return groupstate.Flow{}, false
		}
		f.Transport, f.Remote = "udp", at
	}
	return f, true
}
