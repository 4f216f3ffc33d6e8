package sipauth

import (
	"testing"

	"trivet/wire/sip"
)

// BenchmarkSigned checks a signed request and signs its answer.
func BenchmarkSigned(b *testing.B) {
	s := newSite(&testing.T{})
	c, _ := ntlmSignIn(s)
	ms := make([]*sip.Message, b.N)
	res := make([]*sip.Message, b.N)
	for i := range ms {
		ms[i] = c.seal(request("MESSAGE", alice, ""), nil)
		res[i] = sip.NewResponse(ms[i], 200, "")
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range ms {
		if user, _, err := s.peer.check(b.Context(), ms[i], func() {}); user != alice {
			b.Fatal(err)
		}
		s.peer.Sign(res[i])
	}
}
