package sipauth

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"hash"
	"time"

	"trivet/fault"
	"trivet/kit/clock"
)

// tlsdskHandshake runs a TLS server over the tokens of SIP headers ([MS-SIPAE]
// 3.4). The server's side runs in a goroutine of its own that ends with the
// handshake, at close, or after maxAnswer.
type tlsdskHandshake struct {
	a     *Authenticator
	conn  *tls.Conn
	f     *flight
	done  chan error // the result of the TLS handshake
	limit clock.Timer
	over  bool
}

// dskSuites sign with HMAC-SHA1, the signature of TLS-DSK. Clients of the time
// know RSA key exchange only.
var dskSuites = []uint16{
	tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA,
	tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
}

func newTLSDSK(a *Authenticator) *tlsdskHandshake {
	h := &tlsdskHandshake{a: a, f: newFlight(), done: make(chan error, 1)}
	h.conn = tls.Server(h.f, &tls.Config{
		MinVersion:             tls.VersionTLS10,
		MaxVersion:             tls.VersionTLS12,
		CipherSuites:           dskSuites,
		ClientAuth:             tls.RequireAnyClientCert, // by key, see step
		SessionTicketsDisabled: true,
		Time:                   a.cfg.Clock.Now,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if c := a.cfg.Certificate(); c != nil {
				return c, nil
			}
			return nil, fault.New(fault.Unsupported, opHandshake, "TLS-DSK needs an RSA certificate on the server")
		},
	})
	h.limit = a.cfg.Clock.AfterFunc(maxAnswer, h.close)
	go h.run()
	return h
}

func (h *tlsdskHandshake) run() {
	var err error
	defer func() {
		if v := recover(); v != nil {
			err = fault.Newf(fault.Invalid, opHandshake, "the TLS handshake cannot be read: %v", v)
		}
		h.done <- err
		h.limit.Stop()
		h.f.Close()
	}()
	err = h.conn.Handshake()
}

func (h *tlsdskHandshake) close() { h.f.Close() }

func (h *tlsdskHandshake) step(ctx context.Context, token []byte) ([]byte, *keys, error) {
	if h.over {
		return nil, nil, fault.New(fault.Invalid, opHandshake, "the handshake is over")
	}
	if len(token) == 0 {
		return nil, nil, fault.New(fault.Invalid, opHandshake, "a TLS-DSK message needs gssapi-data")
	}
	reply := mergeRecords(h.f.exchange(token))
	select {
	case err := <-h.done:
		h.over = true
		if err != nil {
			return nil, nil, fault.New(fault.Unauthenticated, opHandshake, "the TLS handshake failed").Because(err)
		}
	default:
		if len(reply) == 0 {
			h.over = true // an unfinished record: clients send whole flights
			h.close()
			return nil, nil, fault.New(fault.Invalid, opHandshake, "gssapi-data ends within a TLS message")
		}
		return reply, nil, nil
	}
	k, err := h.finish(ctx)
	return reply, k, err
}

// finish takes the keys out of the handshake and finds the user by the
// public key that the client proved to own.
func (h *tlsdskHandshake) finish(ctx context.Context) (*keys, error) {
	st := h.conn.ConnectionState()
	if len(st.PeerCertificates) == 0 {
		return nil, errPassword()
	}
	cert := st.PeerCertificates[0]
	if !valid(cert, h.a.cfg.Clock.Now()) {
		return nil, errPassword()
	}
	block, err := st.ExportKeyingMaterial("client EAP encryption", nil, 128)
	if err != nil {
		return nil, fault.New(fault.Internal, opHandshake, "the program must be built with //go:debug tlsunsafeekm=1").Because(err)
	}
	acc, known, err := found(h.a.cfg.Accounts.ByCertificate(ctx, sha256.Sum256(cert.RawSubjectPublicKeyInfo)))
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, errPassword()
	}
	return &keys{user: acc.User, mac: newDSKMAC(block[64:96], block[96:128]), ends: cert.NotAfter}, nil
}

func valid(c *x509.Certificate, now time.Time) bool {
	return !now.Before(c.NotBefore) && now.Before(c.NotAfter)
}

// dskMAC signs with HMAC-SHA1 under the exported keys.
type dskMAC struct{ in, out hash.Hash }

func newDSKMAC(in, out []byte) *dskMAC {
	return &dskMAC{hmac.New(sha1.New, in), hmac.New(sha1.New, out)}
}

func (m *dskMAC) sign(b, text []byte) []byte {
	m.out.Reset()
	m.out.Write(text)
	return m.out.Sum(b)
}

func (m *dskMAC) verify(text, sig []byte) bool {
	m.in.Reset()
	m.in.Write(text)
	var sum [sha1.Size]byte
	return hmac.Equal(m.in.Sum(sum[:0]), sig)
}
