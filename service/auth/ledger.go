package auth

import (
	"context"
	"slices"
	"strings"

	"trivet/fault"
	"trivet/link/pki"
	"trivet/rule/directory"
	"trivet/store/users"
	"trivet/uc"
)

// CertificateStore is the part of store/users that Ledger stands on.
type CertificateStore interface {
	ByAddress(ctx context.Context, a uc.UserURI) (directory.User, error)
	ByGUID(ctx context.Context, guid string) (directory.User, error)
	AddCertificate(ctx context.Context, c users.Certificate) error
	CertificateByKey(ctx context.Context, keyHash []byte) (users.Certificate, error)
	Certificates(ctx context.Context, guid string) ([]users.Certificate, error)
	Revoke(ctx context.Context, guid, serial string) ([]users.Certificate, error)
}

// Ledger keeps the records of client certificates in the directory's database,
// for link/pki.
type Ledger struct{ Store CertificateStore }

var _ pki.Ledger = Ledger{}

// Add implements pki.Ledger. A key that the user holds already keeps its record.
func (l Ledger) Add(ctx context.Context, c pki.ClientCert) error {
	const op = "auth.Ledger.Add"
	u, err := l.Store.ByAddress(ctx, c.User)
	if err != nil {
		return fault.Wrap(op, err)
	}
	err = l.Store.AddCertificate(ctx, users.Certificate{Serial: strings.ToLower(c.Serial), GUID: u.GUID, Device: uc.EndpointID(c.Device), KeyHash: c.Key[:], Issued: c.Issued, Expires: c.Expires})
	if !fault.Is(err, fault.Exists) {
		return fault.Wrap(op, err)
	}
	old, err := l.Store.CertificateByKey(ctx, c.Key[:])
	if err != nil || old.GUID != u.GUID || !old.Revoked.IsZero() {
		return fault.New(fault.Forbidden, op, "the key of the certificate request was used before; make a new key").About(string(c.User))
	}
	return nil
}

// ByKey implements pki.Ledger.
func (l Ledger) ByKey(ctx context.Context, key pki.KeyHash) (pki.ClientCert, error) {
	const op = "auth.Ledger.ByKey"
	c, err := l.Store.CertificateByKey(ctx, key[:])
	if err == nil && !c.Revoked.IsZero() {
		err = fault.New(fault.NotFound, op, "the certificate of this key is revoked")
	}
	if err != nil {
		return pki.ClientCert{}, fault.Wrap(op, err)
	}
	u, err := l.Store.ByGUID(ctx, c.GUID)
	if err != nil {
		return pki.ClientCert{}, fault.Wrap(op, err)
	}
	return record(u.SipAddress, c), nil
}

func record(user uc.UserURI, c users.Certificate) pki.ClientCert {
	r := pki.ClientCert{User: user, Device: string(c.Device), Serial: strings.ToUpper(c.Serial), Issued: c.Issued, Expires: c.Expires}
	copy(r.Key[:], c.KeyHash)
	return r
}

// Of implements pki.Ledger.
func (l Ledger) Of(ctx context.Context, user uc.UserURI) ([]pki.ClientCert, error) {
	const op = "auth.Ledger.Of"
	u, err := l.Store.ByAddress(ctx, user)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	list, err := l.Store.Certificates(ctx, u.GUID)
	var out []pki.ClientCert
	for _, c := range slices.Backward(list) {
		if c.Revoked.IsZero() {
			out = append(out, record(user, c))
		}
	}
	return out, fault.Wrap(op, err)
}

// Revoke implements pki.Ledger.
func (l Ledger) Revoke(ctx context.Context, user uc.UserURI, device string) (int, error) {
	const op = "auth.Ledger.Revoke"
	u, err := l.Store.ByAddress(ctx, user)
	if err != nil {
		return 0, fault.Wrap(op, err)
	}
	if device == "" {
		gone, err := l.Store.Revoke(ctx, u.GUID, "")
		return len(gone), fault.Wrap(op, err)
	}
	list, err := l.Store.Certificates(ctx, u.GUID)
	n := 0
	for _, c := range list {
		if err != nil {
			break
		}
		if c.Revoked.IsZero() && strings.EqualFold(string(c.Device), device) {
			_, err = l.Store.Revoke(ctx, u.GUID, c.Serial)
			n++
		}
	}
	return n, fault.Wrap(op, err)
}
