package registrar

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/rule/groupstate"
	"trivet/rule/policy"
	"trivet/uc"
	"trivet/wire/sip"
)

// isLync tells a Lync client from a standard one.
func isLync(m *sip.Message) bool {
	if m.Has("Supported", "msrtc-event-categories") || m.Event() != "" {
		return true
	}
	from, err := m.From()
	return err == nil && from.Params.Value("epid") != ""
}

// lyncContact makes the one contact of a Lync client's REGISTER.
func (r *Registrar) lyncContact(req *sipmux.Request) (groupstate.BindContact, error) {
	c := groupstate.BindContact{Endpoint: req.Endpoint, Lync: true}
	contacts, err := req.Contacts()
	if err != nil {
		return c, err
	}
	limits := r.cfg.Policy()
	life := time.Duration(limits.DefaultEndpointExpiration) * time.Second
	if n, ok := req.Expires(); ok {
		life = time.Duration(n) * time.Second
	}
	if len(contacts) != 1 && life > 0 {
		return c, fault.New(fault.Invalid, opRegister, "a Lync endpoint registers one Contact at a time")
	}
	if len(contacts) > 0 {
		a := contacts[0]
		c.Contact, c.Methods = a.URI, a.Params.Value("methods")
		c.Instance = instanceOf(a)
		if v := a.Params.Value("proxy"); v == "replace" {
			c.Params = ";proxy=replace"
		}
	}
	if c.Instance == "" {
		c.Instance = instanceFromEpid(string(req.Endpoint))
	}
	c.GRUU = lyncGRUU(req.User, c.Instance)
	c.Lifetime, err = lifetime(life, limits)
	return c, err
}

// sipContacts makes the contacts of a standard REGISTER.
func (r *Registrar) sipContacts(req *sipmux.Request, contacts []sip.Addr) ([]groupstate.BindContact, error) {
	limits := r.cfg.Policy()
	usual := min(time.Duration(limits.DefaultEndpointExpiration)*time.Second, usualSIP)
	all := make([]groupstate.BindContact, 0, len(contacts))
	for _, a := range contacts {
		u, err := sip.ParseURI(a.URI)
		if err != nil {
			return nil, err
		}
		life := usual
		if n, ok := req.Expires(); ok {
			life = time.Duration(n) * time.Second
		}
		if v, ok := a.Params.Get("expires"); ok {
			if n, err := strconv.ParseUint(v, 10, 32); err == nil { // RFC 3261 10.2.1.1: anything else counts as not there
				life = time.Duration(n) * time.Second
			}
		}
		c := groupstate.BindContact{Contact: a.URI, Instance: instanceOf(a), Methods: a.Params.Value("methods"), Q: quality(a.Params.Value("q"))}
		if c.Lifetime, err = lifetime(life, limits); err != nil {
			return nil, err
		}
		if c.Instance == "" {
			u.Host, u.Headers = strings.ToLower(u.Host), ""
			c.Endpoint = uc.EndpointID(u.String())
		} else {
			id, _ := strconv.ParseUint(a.Params.Value("reg-id"), 10, 31)
			c.RegID = uint32(id)
			c.Endpoint = uc.EndpointID(c.Instance)
			if c.RegID > 1 { // further flows of one instance, RFC 5626 6
				c.Endpoint += uc.EndpointID("#" + strconv.Itoa(int(c.RegID)))
			}
			if req.Has("Supported", "gruu") {
				c.GRUU = string(req.User) + ";gr=" + c.Instance
			}
		}
		all = append(all, c)
	}
	return all, nil
}

// usualSIP is the longest lifetime that a standard client gets that asks for none,
// RFC 3261 10.2.
const usualSIP = time.Hour

// lifetime checks what a client asks for, in milliseconds.
func lifetime(d time.Duration, limits *policy.Registrar) (int64, error) {
	if d > 0 && d < time.Duration(limits.MinEndpointExpiration)*time.Second {
		return 0, errBrief
	}
	return min(d, time.Duration(limits.MaxEndpointExpiration)*time.Second).Milliseconds(), nil
}

// instanceOf is the value of +sip.instance without its brackets.
func instanceOf(a sip.Addr) string {
	return strings.Trim(a.Params.Value("+sip.instance"), "<>")
}

// quality reads a q parameter as thousandths; without one it is 1000.
func quality(v string) uint16 {
	q, err := strconv.ParseFloat(v, 32)
	if err != nil || !(q >= 0 && q < 1) {
		return 1000
	}
	return uint16(q*1000 + 0.5)
}

// epidSpace is the name space in which an epid becomes a UUID, [MS-SIPRE].
var epidSpace = [16]byte{0xfc, 0xac, 0xfb, 0x03, 0x8a, 0x73, 0x46, 0xef, 0x91, 0xb1, 0xe5, 0xeb, 0xee, 0xab, 0xa4, 0xfe}

// instanceFromEpid is the instance of a client that names only an epid: the UUID
// of version 5 over it.
func instanceFromEpid(epid string) string {
	h := sha1.Sum(append(epidSpace[:], epid...))
	u := h[:16]
	u[6], u[8] = u[6]&0x0f|0x50, u[8]&0x3f|0x80
	s := hex.EncodeToString(u)
	return "urn:uuid:" + s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// lyncGRUU is the customary form of the GRUU of an endpoint of a Lync user.
func lyncGRUU(user uc.UserURI, instance string) string {
	id := strings.ReplaceAll(strings.TrimPrefix(instance, "urn:uuid:"), "-", "")
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != 16 {
		h := sha1.Sum([]byte(instance))
		raw = h[:16]
	}
	return string(user) + ";opaque=user:epid:" + base64.URLEncoding.EncodeToString(append(raw, 0, 0)) + ";gruu"
}
