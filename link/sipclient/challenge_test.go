package sipclient

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trivet/wire/sip"
)

func TestParseChallenge(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]params{
		`Digest realm="a, b", nonce="x\"y", algorithm=SHA-256,qop="auth,auth-int"`: {"realm": "a, b", "nonce": `x"y`, "algorithm": "SHA-256", "qop": "auth,auth-int"},
		`NTLM Realm="r", gssapi-data="AA==", version=4`:                            {"realm": "r", "gssapi-data": "AA==", "version": "4"},
		`Digest`: {},
	} {
		if _, got := parseChallenge(in); cmp.Diff(want, got) != "" {
			t.Errorf("%s: %s", in, cmp.Diff(want, got))
		}
	}
}

// The example of RFC 7616 3.9.1 has another cnonce each time we ask; the one of
// RFC 2617 3.5 does too. What is checked here is that the parts of an answer
// are those the server will hash.
func TestDigestNamesWhatItHashes(t *testing.T) {
	t.Parallel()
	d := &digest{login: `a"b`, password: "p"}
	if again, err := d.challenge(params{"realm": "r", "nonce": "n", "opaque": "o"}); !again || err != nil {
		t.Fatal(again, err)
	}
	m := sip.NewRequest("MESSAGE", "sip:bob@example.test")
	v, err := d.credentials(m)
	_, p := parseChallenge(v)
	if err != nil || p["username"] != `a"b` || p["uri"] != "sip:bob@example.test" || p["opaque"] != "o" || len(p["response"]) != 32 || p["qop"] != "" {
		t.Errorf("%s, %v", v, err)
	}
	if again, _ := d.challenge(params{"nonce": "n2"}); again {
		t.Error("a refused password is tried again")
	}
	if again, _ := d.challenge(params{"nonce": "n3", "stale": "TRUE"}); !again {
		t.Error("a stale nonce is not tried again")
	}
}

func FuzzParseChallenge(f *testing.F) {
	f.Add(`Digest realm="a, b", nonce="x\"y", stale=true`)
	f.Add(`NTLM gssapi-data="`)
	f.Fuzz(func(t *testing.T, v string) {
		_, p := parseChallenge(v)
		n := &ntlmAuth{login: "a", now: time.Now}
		if _, err := n.challenge(p); err == nil && n.session != nil {
			m := sip.NewRequest("REGISTER", "sip:a")
			if _, err := n.credentials(m); err != nil {
				t.Error(err)
			}
		}
	})
}
