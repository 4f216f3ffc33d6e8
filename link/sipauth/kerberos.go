package sipauth

import (
	"context"
	"encoding/binary"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"trivet/fault"
)

// kerberosSkew is how far a client's clock may be off, RFC 4120 1.6.
const kerberosSkew = 5 * time.Minute

// kerberosHandshake takes one GSS-API initial token (RFC 4121 4.1) and leads to
// keys at once; there is no token back.
type kerberosHandshake struct {
	a    *Authenticator
	addr netip.Addr
	over bool
}

func (h *kerberosHandshake) step(ctx context.Context, token []byte) (reply []byte, k *keys, err error) {
	if h.over {
		return nil, nil, fault.New(fault.Invalid, opHandshake, "the handshake is over")
	}
	h.over = true
	kt := h.a.cfg.Keytab()
	if kt == nil {
		return nil, nil, fault.New(fault.Unsupported, opHandshake, "Kerberos needs a keytab on the server")
	}
	req, err := h.open(kt, token)
	if err != nil {
		return nil, nil, err
	}
	ticket := &req.Ticket.DecryptedEncPart
	principal := ticket.CName.PrincipalNameString() + "@" + ticket.CRealm
	if !h.a.krb.take(principal, &req.Authenticator, h.a.cfg.Clock.Now()) {
		return nil, nil, fault.New(fault.Unauthenticated, opHandshake, "the Kerberos token was used before")
	}
	acc, known, err := found(h.a.cfg.Accounts.ByPrincipal(ctx, principal))
	if err != nil {
		return nil, nil, err
	}
	if !known {
		return nil, nil, errPassword()
	}
	key := ticket.Key
	if len(req.Authenticator.SubKey.KeyValue) > 0 {
		key = req.Authenticator.SubKey
	}
	if _, ok := micTypes[key.KeyType]; !ok {
		return nil, nil, fault.New(fault.Unsupported, opHandshake, "Kerberos needs an AES session key; the ticket has another kind")
	}
	return nil, &keys{user: acc.User, mac: newKerberosMAC(key, req.Authenticator.SeqNumber), ends: ticket.EndTime}, nil
}

// micTypes are the key types whose signatures are those of RFC 4121.
var micTypes = map[int32]bool{
	etypeID.AES128_CTS_HMAC_SHA1_96: true, etypeID.AES256_CTS_HMAC_SHA1_96: true,
	etypeID.AES128_CTS_HMAC_SHA256_128: true, etypeID.AES256_CTS_HMAC_SHA384_192: true,
}

// open parses and verifies the token. The library was not written for hostile
// bytes everywhere: a panic of its parsers is a refusal here.
func (h *kerberosHandshake) open(kt *keytab.Keytab, token []byte) (req *messages.APReq, err error) {
	defer func() {
		if v := recover(); v != nil {
			req, err = nil, fault.Newf(fault.Invalid, opHandshake, "the Kerberos token cannot be read: %v", v)
		}
	}()
	raw, err := apReq(token)
	if err != nil {
		return nil, err
	}
	req = new(messages.APReq)
	if err := req.Unmarshal(raw); err != nil {
		return nil, fault.New(fault.Invalid, opHandshake, "the Kerberos token holds no AP-REQ").Because(err)
	}
	if len(req.Ticket.SName.NameString) != 2 || !strings.EqualFold(req.Ticket.SName.PrincipalNameString(), "sip/"+h.a.cfg.FQDN) {
		return nil, fault.Newf(fault.Unauthenticated, opHandshake, "the ticket is not for sip/%s", h.a.cfg.FQDN)
	}
	ok, err := req.Verify(kt, kerberosSkew, types.HostAddressFromNetIP(h.addr.Unmap().AsSlice()), nil)
	if err != nil || !ok {
		return nil, fault.New(fault.Unauthenticated, opHandshake, "the Kerberos ticket was refused").Because(err)
	}
	if !strings.EqualFold(req.Authenticator.CRealm, req.Ticket.DecryptedEncPart.CRealm) {
		return nil, fault.New(fault.Unauthenticated, opHandshake, "the realms of ticket and authenticator differ")
	}
	return req, nil
}

// apReq takes the GSS-API frame off: application tag 0, mechanism, 01 00.
func apReq(token []byte) ([]byte, error) {
	var mech asn1.ObjectIdentifier
	rest, err := asn1.UnmarshalWithParams(token, &mech, "application,explicit,tag:0")
	if err != nil || !mech.Equal(gssapi.OIDKRB5.OID()) || len(rest) < 2 || rest[0] != 1 || rest[1] != 0 {
		return nil, fault.New(fault.Invalid, opHandshake, "gssapi-data is not an initial Kerberos token")
	}
	return rest[2:], nil
}

func (h *kerberosHandshake) close() {}

// kerberosMAC makes and checks GSS_GetMIC tokens, RFC 4121 4.2.6.1.
type kerberosMAC struct {
	key types.EncryptionKey
	seq uint64
}

func newKerberosMAC(key types.EncryptionKey, seq int64) *kerberosMAC {
	return &kerberosMAC{key: key, seq: uint64(uint32(seq))} // without AP-REP both sides start at the client's number
}

const micHead = 16

func (m *kerberosMAC) sign(b, text []byte) []byte {
	head := binary.BigEndian.AppendUint64([]byte{4, 4, gssapi.MICTokenFlagSentByAcceptor, 0xff, 0xff, 0xff, 0xff, 0xff}, m.seq)
	m.seq++
	et, err := crypto.GetEtype(m.key.KeyType)
	if err != nil {
		return b // the type was checked before
	}
	sum, err := et.GetChecksumHash(m.key.KeyValue, append(append(make([]byte, 0, len(text)+micHead), text...), head...), keyusage.GSSAPI_ACCEPTOR_SIGN)
	if err != nil {
		return b
	}
	return append(append(b, head...), sum...)
}

func (m *kerberosMAC) verify(text, sig []byte) bool {
	var t gssapi.MICToken
	if err := t.Unmarshal(sig, false); err != nil || t.Flags != 0 {
		return false
	}
	t.Payload = text
	ok, err := t.Verify(m.key, keyusage.GSSAPI_INITIATOR_SIGN)
	return err == nil && ok
}

// replays remembers authenticators for as long as their time is acceptable, RFC
// 4120 3.2.3. Only holders of a valid ticket can fill it.
type replays struct {
	mu   sync.Mutex
	seen map[replayKey]time.Time // until when
}

type replayKey struct {
	principal string
	micros    int64
}

const maxReplays = 1 << 17

// take notes an authenticator and reports whether it is new. A full table of
// unexpired entries refuses.
func (r *replays) take(principal string, a *types.Authenticator, now time.Time) bool {
	k := replayKey{principal, a.CTime.Unix()*1e6 + int64(a.Cusec)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, used := r.seen[k]; used {
		return false
	}
	if len(r.seen) >= maxReplays {
		for old, until := range r.seen {
			if now.After(until) {
				delete(r.seen, old)
			}
		}
		if len(r.seen) >= maxReplays {
			return false
		}
	}
	if r.seen == nil {
		r.seen = map[replayKey]time.Time{}
	}
	r.seen[k] = now.Add(3 * kerberosSkew)
	return true
}
