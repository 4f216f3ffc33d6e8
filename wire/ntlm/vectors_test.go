package ntlm

import (
	"bytes"
	"crypto/md5"
	"crypto/rc4"
	"encoding/hex"
	"strings"
	"testing"
)

// The values below are those published in [MS-NLMP] 4.2.1 and 4.2.4: user
// "User", domain "Domain", password "Password", time 0.
const (
	vecChallenge = "4e544c4d53535000020000000c000c003800000033828ae20123456789abcdef" +
		"00000000000000002400240044000000060070170000000f" +
		"530065007200760065007200" + "02000c0044006f006d00610069006e0001000c0053006500720076006500720000000000"
	vecAuthenticate = "4e544c4d5353500003000000180018006c00000054005400840000000c000c0048000000" +
		"08000800540000001000100" + "05c00000010001000d8000000358288e20501280a0000000f" +
		"44006f006d00610069006e005500730065007200" + "43004f004d0050005500540045005200" +
		"86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa" + "68cd0ab851e51c96aabc927bebef6a1c" +
		"01010000000000000000000000000000aaaaaaaaaaaaaaaa00000000" +
		"02000c0044006f006d00610069006e0001000c005300650072007600650072000000000000000000" +
		"c5dad2544fc9799094ce1ce90bc9d03e"
	vecResponseKey = "0c868a403bfd7a93a3001ef22ef02e3f"
	vecSessionBase = "8de40ccadbc14a82f15cb0ad0de95ca3"
	vecSignKey     = "4788dc861b4782f35d43fd98fe1a2d39"
	vecSealKey     = "59f600973cc4960a25480a7c196e4c58"
	vecSealed      = "54e50165bf1936dc996020c1811b0f06fb5f"
	vecSignature   = "010000007fb38ec5c55d497600000000"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func equal(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if hex.EncodeToString(got) != want {
		t.Errorf("%s: got %x, want %s", what, got, want)
	}
}

func TestPublishedKeys(t *testing.T) {
	h := NewHash("Password")
	equal(t, "NT hash", h[:], "a4f49c406510bdcab6824ee7c30fd852")
	rk := h.responseKey("User", "Domain", strings.ToUpper)
	equal(t, "NTOWFv2", rk, vecResponseKey)
	equal(t, "session base key", mac(rk, unhex(t, "68cd0ab851e51c96aabc927bebef6a1c")), vecSessionBase)
}

func TestPublishedAuthenticate(t *testing.T) {
	a, err := ParseAuthenticate(unhex(t, vecAuthenticate))
	if err != nil {
		t.Fatal(err)
	}
	if a.User != "User" || a.Domain != "Domain" || a.Workstation != "COMPUTER" {
		t.Errorf("names: %q %q %q", a.User, a.Domain, a.Workstation)
	}
	k, err := a.Verify(unhex(t, vecChallenge), NewHash("Password"))
	if err != nil {
		t.Fatal(err)
	}
	if k != Key(bytes.Repeat([]byte{0x55}, 16)) {
		t.Errorf("session key %x", k)
	}
	if _, err := a.Verify(unhex(t, vecChallenge), NewHash("password")); err == nil {
		t.Error("a wrong password was accepted")
	}
	s := NewClientSession(a.Flags, k)
	equal(t, "signing key", s.out.sign[:], vecSignKey)
	equal(t, "sealing key", s.out.seal[:], vecSealKey)
}

// TestPublishedSignature rebuilds the example of 4.2.4.4, which is of the
// connection form (one RC4 stream), from the keys we derive.
func TestPublishedSignature(t *testing.T) {
	s := NewClientSession(KeyExchange|Key128|ExtendedSession, Key(bytes.Repeat([]byte{0x55}, 16)))
	stream, err := rc4.NewCipher(s.out.seal[:])
	if err != nil {
		t.Fatal(err)
	}
	text := utf16le("Plaintext")
	sealed := make([]byte, len(text))
	stream.XORKeyStream(sealed, text)
	equal(t, "sealed text", sealed, vecSealed)
	sum := mac(s.out.sign[:], make([]byte, 4), text)[:8]
	stream.XORKeyStream(sum, sum)
	equal(t, "checksum", sum, vecSignature[8:24])
}

// TestPublishedClient checks that our client side makes the published proof
// from the published challenge, which has no time and so no integrity code.
func TestPublishedClient(t *testing.T) {
	c := Client{User: "User", Domain: "Domain", Workstation: "COMPUTER", Hash: NewHash("Password"),
		Nonce: [8]byte(bytes.Repeat([]byte{0xaa}, 8)), Key: Key(bytes.Repeat([]byte{0x55}, 16))}
	msg, _, err := c.Respond(unhex(t, vecChallenge))
	if err != nil {
		t.Fatal(err)
	}
	a, err := ParseAuthenticate(msg)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "proof", a.proof, "68cd0ab851e51c96aabc927bebef6a1c")
	equal(t, "encrypted key", a.sessionKey, "c5dad2544fc9799094ce1ce90bc9d03e")
	if !bytes.Contains(msg, unhex(t, "86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa")) {
		t.Error("the LMv2 response of the example is missing")
	}
}

func TestChallengeLayout(t *testing.T) {
	got := Challenge{Flags: 0xe28a8233, Nonce: [8]byte(unhex(t, "0123456789abcdef")), Name: "Server",
		Target: Target{NetBIOSDomain: "Domain", NetBIOSComputer: "Server"}}.Append(nil)
	want := unhex(t, vecChallenge)
	copy(want[48:56], version)
	equal(t, "challenge", got, hex.EncodeToString(want))
}

// TestDatagramSignature follows [MS-NLMP] 3.4.4 step by step.
func TestDatagramSignature(t *testing.T) {
	s := NewClientSession(SIPFlags, Key(bytes.Repeat([]byte{0x55}, 16)))
	text := []byte("<NTLM><C19D7734><21>")
	for range 2 { // RC4 starts anew for each
		seq := []byte{100, 0, 0, 0}
		key := md5.Sum(append(append([]byte(nil), s.out.seal[:]...), seq...))
		stream, err := rc4.NewCipher(key[:])
		if err != nil {
			t.Fatal(err)
		}
		sum := mac(s.out.sign[:], seq, text)[:8]
		stream.XORKeyStream(sum, sum)
		got := s.Sign(text)
		equal(t, "signature", got[:], "01000000"+hex.EncodeToString(sum)+"64000000")
	}
}
