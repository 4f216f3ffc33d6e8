// Package ntlm is NT LAN Manager authentication of version 2 as [MS-NLMP] has
// it: the CHALLENGE a server makes, the AUTHENTICATE a client answers with, the
// proof of the password, and the message signatures of the connectionless
// (datagram) form that SIP uses ([MS-SIPAE] 3.2). Version 1 is refused.
//
// The package is pure: time and random numbers are passed in. Values are safe
// for concurrent reading, except a Session, see there.
package ntlm

import "strings"

// Flags are the negotiate flags, [MS-NLMP] 2.2.2.5.
type Flags uint32

// The flags this package acts on.
const (
	Unicode         Flags = 0x00000001
	RequestTarget   Flags = 0x00000004
	Sign            Flags = 0x00000010
	Seal            Flags = 0x00000020
	Datagram        Flags = 0x00000040
	NTLM            Flags = 0x00000200
	AlwaysSign      Flags = 0x00008000
	TargetServer    Flags = 0x00020000
	ExtendedSession Flags = 0x00080000
	Identify        Flags = 0x00100000
	TargetInfo      Flags = 0x00800000
	Version         Flags = 0x02000000
	Key128          Flags = 0x20000000
	KeyExchange     Flags = 0x40000000
	Key56           Flags = 0x80000000
)

// SIPFlags are the flags of a CHALLENGE inside SIP: signed datagrams with
// extended session security, exchanged keys of 128 bit.
const SIPFlags Flags = 0xE2998255

// sipNeeds are the flags a client's answer must keep to sign SIP messages.
const sipNeeds = Unicode | Sign | NTLM | ExtendedSession

// Sizes of messages this package reads, in bytes. Real ones stay below 1,000.
const (
	maxMessage    = 4096
	maxTargetInfo = 2048
	maxName       = 512 // one name in UTF-16: 256 units
)

const signature = "NTLMSSP\x00"

// Message types, the four bytes after the signature.
const (
	typeChallenge    = 2
	typeAuthenticate = 3
)

// Login joins the names of an AUTHENTICATE to what a person would type:
// "DOMAIN\user", or the user alone ("alice@example.test") when the domain is
// empty.
func Login(user, domain string) string {
	if domain == "" || strings.Contains(user, "@") {
		return user
	}
	return domain + `\` + user
}

// SplitLogin takes "DOMAIN\user" and "DOMAIN/user" apart; anything else, an
// address among it, is a user with an empty domain.
func SplitLogin(login string) (user, domain string) {
	if i := strings.IndexAny(login, `\/`); i > 0 {
		return login[i+1:], login[:i]
	}
	return login, ""
}
