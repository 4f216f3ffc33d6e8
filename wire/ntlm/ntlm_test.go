package ntlm

import (
	"encoding/binary"
	"testing"

	"trivet/fault"
)

func challenge(f Flags, time uint64) []byte {
	return Challenge{Flags: f, Nonce: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, Name: "CONTOSO", Target: Target{
		NetBIOSDomain: "CONTOSO", NetBIOSComputer: "FE1", DNSDomain: "contoso.test", DNSComputer: "fe1.contoso.test", Time: time,
	}}.Append(nil)
}

func client(user, domain, password string) Client {
	return Client{User: user, Domain: domain, Workstation: "DESK", Hash: NewHash(password), Time: FileTime(1e18),
		Nonce: [8]byte{9, 9, 9}, Key: Key{7, 7, 7, 7}}
}

func TestSignInAndSignatures(t *testing.T) {
	for _, tc := range []struct {
		name, user, domain string
		flags              Flags
		time               uint64
	}{
		{"address", "alice@contoso.test", "", SIPFlags, 0},
		{"address with integrity code", "alice@contoso.test", "", SIPFlags, FileTime(1e18)},
		{"domain", "alice", "CONTOSO", SIPFlags, 0},
		{"letters beyond ASCII", "jürgen", "contoso", SIPFlags, 0},
		{"56 bit", "alice", "CONTOSO", SIPFlags &^ Key128, 0},
		{"40 bit", "alice", "CONTOSO", SIPFlags &^ (Key128 | Key56), 0},
		{"no key exchange", "alice", "CONTOSO", SIPFlags &^ KeyExchange, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ch := challenge(tc.flags, tc.time)
			msg, mine, err := client(tc.user, tc.domain, "secret").Respond(ch)
			if err != nil {
				t.Fatal(err)
			}
			a, err := ParseAuthenticate(msg)
			if err != nil {
				t.Fatal(err)
			}
			if a.User != tc.user || a.Domain != tc.domain || a.hasMIC != (tc.time != 0) {
				t.Errorf("parsed %q %q mic=%v", a.User, a.Domain, a.hasMIC)
			}
			key, err := a.Verify(ch, NewHash("secret"))
			if err != nil {
				t.Fatal(err)
			}
			bothWays(t, mine, NewServerSession(a.Flags, key))
		})
	}
}

func bothWays(t *testing.T, client, server *Session) {
	t.Helper()
	text := []byte("<NTLM><C19D7734><21><realm>")
	up, down := client.Sign(text), server.Sign(text)
	if !server.Verify(text, up[:]) || !client.Verify(text, down[:]) {
		t.Error("a right signature was refused")
	}
	if server.Verify(text, down[:]) {
		t.Error("a signature of the other direction was accepted")
	}
	if up[0] != 1 || binary.LittleEndian.Uint32(up[12:]) != 100 {
		t.Errorf("signature form: %x", up)
	}
	for i := range up {
		bad := up
		bad[i] ^= 1
		if server.Verify(text, bad[:]) {
			t.Errorf("a signature with byte %d changed was accepted", i)
		}
	}
	if server.Verify(text, up[:15]) || server.Verify(text, nil) || server.Verify(text[1:], up[:]) {
		t.Error("a short signature or other text was accepted")
	}
}

func TestUpperCaseOfASCIIOnly(t *testing.T) {
	c := client("jürgen", "", "secret")
	ch := challenge(SIPFlags, 0)
	parsed, err := ParseChallenge(ch)
	if err != nil {
		t.Fatal(err)
	}
	blob := c.blob(parsed, false)
	rk := c.Hash.responseKey(c.User, "", asciiUpper)
	proof := mac(rk, parsed.Nonce[:], blob)
	wrapped := rc4Once(mac(rk, proof), c.Key[:])
	a, err := ParseAuthenticate(c.message(SIPFlags, make([]byte, 24), append(proof, blob...), wrapped[:]))
	if err != nil {
		t.Fatal(err)
	}
	if key, err := a.Verify(ch, c.Hash); err != nil || key != c.Key {
		t.Errorf("key %x, err %v", key, err)
	}
}

func TestTamperedProof(t *testing.T) {
	ch := challenge(SIPFlags, FileTime(1e18))
	msg, _, err := client("alice", "CONTOSO", "secret").Respond(ch)
	if err != nil {
		t.Fatal(err)
	}
	for i := range msg {
		bad := append([]byte(nil), msg...)
		bad[i] ^= 0x20
		a, err := ParseAuthenticate(bad)
		if err != nil {
			continue
		}
		if _, err := a.Verify(ch, NewHash("secret")); err == nil && a.hasMIC {
			t.Errorf("a message with byte %d changed was accepted", i)
		}
	}
	other := append([]byte(nil), ch...)
	other[24] ^= 1
	a, err := ParseAuthenticate(msg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Verify(other, NewHash("secret")); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("an answer to another challenge: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	good, _, err := client("alice", "CONTOSO", "secret").Respond(challenge(SIPFlags, 0))
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	for _, tc := range []struct {
		name string
		edit func(b []byte) []byte
		kind fault.Kind
	}{
		{"empty", func([]byte) []byte { return nil }, fault.Invalid},
		{"head only", func(b []byte) []byte { return b[:63] }, fault.Invalid},
		{"too long", func(b []byte) []byte { return append(b, make([]byte, maxMessage)...) }, fault.Invalid},
		{"other magic", func(b []byte) []byte { b[0] = 'X'; return b }, fault.Invalid},
		{"other type", func(b []byte) []byte { b[8] = 1; return b }, fault.Invalid},
		{"version 1 response", func(b []byte) []byte { le.PutUint16(b[20:], 24); return b }, fault.Unsupported},
		{"no response", func(b []byte) []byte { le.PutUint16(b[20:], 0); return b }, fault.Invalid},
		{"anonymous", func(b []byte) []byte { le.PutUint16(b[36:], 0); return b }, fault.Unsupported},
		{"odd name", func(b []byte) []byte { le.PutUint16(b[36:], 3); return b }, fault.Invalid},
		{"name outside", func(b []byte) []byte { le.PutUint32(b[40:], 0xfffffff0); return b }, fault.Invalid},
		{"name in the head", func(b []byte) []byte { le.PutUint32(b[40:], 8); return b }, fault.Invalid},
		{"name too long", func(b []byte) []byte { le.PutUint16(b[36:], 2000); return b }, fault.Invalid},
		{"short session key", func(b []byte) []byte { le.PutUint16(b[52:], 8); return b }, fault.Invalid},
		{"no signing", func(b []byte) []byte { le.PutUint32(b[60:], uint32(SIPFlags&^Sign)); return b }, fault.Unsupported},
		{"cut payload", func(b []byte) []byte { return b[:len(b)-1] }, fault.Invalid},
		{"blob of another version", func(b []byte) []byte { b[le.Uint32(b[24:])+16] = 9; return b }, fault.Invalid},
		{"no end pair", func(b []byte) []byte { le.PutUint16(b[20:], le.Uint16(b[20:])-8); return b }, fault.Invalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ParseAuthenticate(tc.edit(append([]byte(nil), good...)))
			if !fault.Is(err, tc.kind) {
				t.Errorf("got %v, want kind %v", err, tc.kind)
			}
		})
	}
}

func TestLogins(t *testing.T) {
	for _, tc := range []struct{ user, domain, login string }{
		{"alice@contoso.test", "", "alice@contoso.test"},
		{"alice", "CONTOSO", `CONTOSO\alice`},
		{"alice", "", "alice"},
	} {
		if got := Login(tc.user, tc.domain); got != tc.login {
			t.Errorf("Login(%q, %q) = %q", tc.user, tc.domain, got)
		}
		if u, d := SplitLogin(tc.login); u != tc.user || d != tc.domain {
			t.Errorf("SplitLogin(%q) = %q, %q", tc.login, u, d)
		}
	}
	if u, d := SplitLogin("CONTOSO/alice"); u != "alice" || d != "CONTOSO" {
		t.Errorf("slash: %q %q", u, d)
	}
}

func FuzzParseAuthenticate(f *testing.F) {
	f.Add(unhex(f, vecAuthenticate))
	ch := challenge(SIPFlags, FileTime(1e18))
	if msg, _, err := client("alice", "CONTOSO", "secret").Respond(ch); err == nil {
		f.Add(msg)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := ParseAuthenticate(b); err == nil {
			if _, err := a.Verify(ch, NewHash("not the password")); err == nil {
				t.Error("accepted")
			}
		}
	})
}

func FuzzParseChallenge(f *testing.F) {
	f.Add(unhex(f, vecChallenge))
	f.Add(challenge(SIPFlags, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseChallenge(b); err == nil {
			if again, err := ParseChallenge(c.Append(nil)); err != nil || again.Name != c.Name || again.Nonce != c.Nonce || again.Target != c.Target {
				t.Errorf("%+v is read again as %+v, %v", c, again, err)
			}
		}
		if msg, _, err := client("alice", "", "secret").Respond(b); err == nil {
			if a, err := ParseAuthenticate(msg); err == nil {
				if _, err := a.Verify(b, NewHash("secret")); err != nil {
					t.Errorf("our own answer was refused: %v", err)
				}
			}
		}
	})
}
