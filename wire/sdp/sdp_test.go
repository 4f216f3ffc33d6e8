package sdp

import (
	"strings"
	"testing"

	"trivet/fault"
)

const lync = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n" +
	"m=message 5061 sip null\r\na=accept-types:text/plain text/html application/im-iscomposing+xml\r\n"

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, body string
		im         bool
		kind       fault.Kind // Internal: no error
	}{
		{"instant messages", lync, true, 0},
		{"older name", strings.Replace(lync, "m=message", "m=x-ms-message", 1), true, 0},
		{"call", "v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nc=IN IP4 1.2.3.4\r\nt=0 0\r\nm=audio 4 RTP/AVP 0\r\n", false, 0},
		{"both", lync + "m=audio 4 RTP/AVP 0\r\n", false, 0},
		{"no media", "v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\n", false, 0},
		{"not SDP", "<xml/>", false, fault.Invalid},
		{"empty", "", false, fault.Invalid},
		{"huge", strings.Repeat("a", maxSize+1), false, fault.Limit},
	} {
		s, err := Parse([]byte(c.body))
		if fault.KindOf(err) != c.kind && err != nil || (err == nil) != (c.kind == 0) || s.IsIM() != c.im {
			t.Errorf("%s: got %+v, %v", c.name, s, err)
		}
	}
}

func TestAppendIM(t *testing.T) {
	s, err := Parse(AppendIM(nil, "127.0.0.1", 5061, "text/plain", "text/html"))
	if err != nil || !s.IsIM() || s.Media[0].Port != 5061 || strings.Join(s.Media[0].Accepts, ",") != "text/plain,text/html" {
		t.Fatalf("%+v %v", s, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(lync))
	f.Add([]byte("v=0\r\nm=audio 1/2 RTP/AVP 0\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := Parse(b); err == nil {
			s.IsIM()
		}
	})
}
