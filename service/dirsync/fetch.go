package dirsync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"trivet/fault"
	"trivet/rule/dirsync"
)

// Bounds of following referrals.
const (
	maxHops      = 5
	maxReferrals = 50
	maxRanges    = 10000 // steps of reading the members of one group
)

// Bounds of an answer that does not end.
const (
	maxEmpty = 16               // pages in a row without an entry, though more are promised
	maxRead  = 30 * time.Minute // for the whole answer of one server
)

// fetched is what a source has.
type fetched struct {
	server string
	people []dirsync.Person
	teams  []dirsync.Team
	broken []dirsync.Broken
}

// fetch reads people and groups from the first server that gives all of them. What
// one server gave is never mixed with what another one gave.
func (x *source) fetch(ctx context.Context, now time.Time, log *slog.Logger) (*fetched, error) {
	var failures []error
	for _, server := range x.Servers {
		f, err := x.fetchWithin(ctx, server, now)
		if err == nil {
			return f, nil
		}
		if ctx.Err() != nil {
			return nil, fault.Newf(fault.Timeout, "dirsync.fetch", "the run was ended while %s was read", server).Because(ctx.Err())
		}
		log.Warn("a server of a directory was not read", "source", x.Name, "server", server, "err", err)
		failures = append(failures, err)
	}
	if len(failures) == 1 {
		return nil, failures[0]
	}
	texts := make([]string, len(failures))
	for i, err := range failures {
		texts[i] = sentence(err)
	}
	return nil, fault.New(fault.Unavailable, "dirsync.fetch", strings.Join(texts, "; ")).Because(errors.Join(failures...))
}

// sentence is what an administrator reads of a failure.
func sentence(err error) string {
	var e *fault.Error
	if !errors.As(err, &e) || e.Text == "" {
		return err.Error()
	}
	var l *ldap.Error
	if errors.As(err, &l) && l.Err != nil {
		return e.Text + " (" + strings.TrimSpace(ldap.LDAPResultCodeMap[l.ResultCode]+" "+l.Err.Error()) + ")"
	}
	return e.Text
}

// fetchWithin is fetchFrom with a time by which the whole answer needs to be there.
func (x *source) fetchWithin(ctx context.Context, server string, now time.Time) (*fetched, error) {
	limited, cancel := context.WithTimeout(ctx, x.longest)
	defer cancel()
	f, err := x.fetchFrom(limited, server, now)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return nil, fault.Newf(fault.Unavailable, "dirsync.fetch", "%s did not give the whole answer within %v", server, x.longest).Because(err)
	}
	return f, err
}

func (x *source) fetchFrom(ctx context.Context, server string, now time.Time) (*fetched, error) {
	l, err := x.open(ctx, server, true)
	if err != nil {
		return nil, err
	}
	defer l.close()
	f := &fetched{server: server}
	people, teams := x.mapping.Attributes()
	for _, part := range []struct {
		bases, attributes []string
		filter            string
		take              func(e dirsync.Entry)
	}{
		{x.Users.Bases, people, x.Users.Filter, func(e dirsync.Entry) { f.person(x, e, now) }},
		{x.Groups.Bases, teams, x.Groups.Filter, func(e dirsync.Entry) { f.team(x, e) }},
	} {
		w := &walk{source: x, filter: part.filter, attributes: part.attributes, take: part.take, seen: map[string]bool{}}
		for _, base := range part.bases {
			if err := w.read(ctx, l, base, "", 0); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

func (f *fetched) person(x *source, e dirsync.Entry, now time.Time) {
	p, err := x.mapping.Person(e, now)
	if err != nil {
		f.broken = append(f.broken, dirsync.Broken{ID: p.ID, Label: e.DN, Text: sentence(err), DN: p.DN, Origin: p.Origin, Off: p.Off})
		return
	}
	f.people = append(f.people, p)
}

func (f *fetched) team(x *source, e dirsync.Entry) {
	t, err := x.mapping.Team(e)
	if err != nil {
		f.broken = append(f.broken, dirsync.Broken{ID: t.ID, Label: e.DN, Text: sentence(err), DN: e.DN, Team: true})
		return
	}
	f.teams = append(f.teams, t)
}

// walk is one search, with the servers that it is referred to.
type walk struct {
	*source
	filter     string
	attributes []string
	take       func(dirsync.Entry)
	entries    int
	referred   int
	seen       map[string]bool // referrals followed
}

// read takes every entry below base, then goes where the server referred to.
func (w *walk) read(ctx context.Context, l *link, base, origin string, hops int) error {
	referrals, err := w.pages(ctx, l, base, origin)
	if err != nil {
		return err
	}
	for _, r := range referrals {
		if err := w.follow(ctx, r, base, hops+1); err != nil {
			return err
		}
	}
	return nil
}

// pages searches below base page by page. Anything short of the whole answer is a
// failure: whoever is not in it would be taken for missing.
func (w *walk) pages(ctx context.Context, l *link, base, origin string) (referrals []string, err error) {
	page := ldap.NewControlPaging(uint32(w.PageSize))
	req := ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, w.filter, w.attributes, []ldap.Control{page})
	var last pageMark
	for empty, number := 0, 1; ; number++ {
		res, err := l.Search(req)
		if ldap.IsErrorWithCode(err, ldap.LDAPResultReferral) {
			return append(referrals, referralsOf(err)...), nil
		}
		if err != nil {
			return nil, w.failed(err, l.url, base)
		}
		for _, e := range res.Entries {
			if w.entries++; w.entries > w.MaxEntries {
				return nil, fault.Newf(fault.Limit, "dirsync.fetch", "%s has more than %d entries below %s; narrow the filter or raise max-entries", l.url, w.MaxEntries, base)
			}
			entry, err := w.entry(ctx, l, e, origin)
			if err != nil {
				return nil, err
			}
			w.take(entry)
		}
		referrals = append(referrals, res.Referrals...)
		next, _ := ldap.FindControl(res.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if next == nil || len(next.Cookie) == 0 {
			return referrals, nil
		}
		mark := markOf(res, next.Cookie)
		if empty++; mark.first != "" {
			empty = 0
		}
		if empty > maxEmpty || number > w.MaxEntries+maxEmpty || mark.first != "" && mark == last {
			return nil, fault.Newf(fault.Unavailable, "dirsync.fetch", "the pages that %s gives of the entries below %s do not end", l.url, base)
		}
		last = mark
		page.SetCookie(next.Cookie)
	}
}

// pageMark tells a page from the one before it. Some servers keep one cookie for all
// pages, so that the cookie alone does not.
type pageMark struct{ first, cookie string }

func markOf(res *ldap.SearchResult, cookie []byte) pageMark {
	m := pageMark{cookie: string(cookie)}
	if len(res.Entries) > 0 {
		m.first = res.Entries[0].DN
	}
	return m
}

func (w *walk) failed(err error, server, base string) error {
	switch {
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultSizeLimitExceeded, ldap.LDAPResultAdminLimitExceeded, ldap.LDAPResultTimeLimitExceeded):
		return because(err, "%s gives only some of the entries below %s; raise its limit for the account, or lower page-size", server, base)
	case ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject):
		return because(err, "%s has no entry %s that the account may read", server, base)
	}
	return because(err, "%s did not answer the search below %s", server, base)
}

// entry makes ours of the library's, with all members of a large group.
func (w *walk) entry(ctx context.Context, l *link, e *ldap.Entry, origin string) (dirsync.Entry, error) {
	out := dirsync.Entry{DN: e.DN, Origin: origin, Attributes: make(map[string][][]byte, len(e.Attributes))}
	for _, a := range e.Attributes {
		name, option, _ := strings.Cut(strings.ToLower(a.Name), ";")
		out.Attributes[name] = append(out.Attributes[name], a.ByteValues...)
		next, more, err := ranged(option)
		if err != nil {
			return out, err
		}
		for step := 0; more; step++ {
			if err := ctx.Err(); err != nil || step > maxRanges {
				return out, fault.Newf(fault.Limit, "dirsync.fetch", "the values of %s of %s do not end", name, e.DN).Because(err)
			}
			var values [][]byte
			if values, next, more, err = w.rest(l, e.DN, name, next); err != nil {
				return out, err
			}
			out.Attributes[name] = append(out.Attributes[name], values...)
		}
	}
	return out, nil
}

// ranged reads "range=0-1499" ([MS-ADTS] 3.1.1.3.1.3.3), an option that a server
// gives when there are more values.
func ranged(option string) (next int, more bool, err error) {
	bounds, ok := strings.CutPrefix(option, "range=")
	if !ok {
		return 0, false, nil
	}
	_, last, _ := strings.Cut(bounds, "-")
	if last == "*" {
		return 0, false, nil
	}
	n, err := strconv.Atoi(last)
	if err != nil || n < 0 {
		return 0, false, fault.Newf(fault.Unavailable, "dirsync.fetch", "the server names a range of values that is none: %q", option)
	}
	return n + 1, true, nil
}

// rest asks for the values of an attribute from the one called next on.
func (w *walk) rest(l *link, dn, name string, next int) (values [][]byte, after int, more bool, err error) {
	attribute := fmt.Sprintf("%s;range=%d-*", name, next)
	res, err := l.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{attribute}, nil))
	if err != nil {
		return nil, 0, false, w.failed(err, l.url, dn)
	}
	for _, e := range res.Entries {
		for _, a := range e.Attributes {
			got, option, _ := strings.Cut(strings.ToLower(a.Name), ";")
			if got != name {
				continue
			}
			after, more, err = ranged(option)
			if more && after <= next {
				return nil, 0, false, fault.Newf(fault.Unavailable, "dirsync.fetch", "the values of %s of %s do not end", name, dn)
			}
			return a.ByteValues, after, more, err
		}
	}
	return nil, 0, false, nil
}

// follow reads what another server has. Passwords go only to those of the
// settings; others are asked as nobody.
func (w *walk) follow(ctx context.Context, referral, base string, hops int) error {
	if w.Referrals != "follow" {
		return nil
	}
	u, err := url.Parse(referral)
	if err != nil || u.Host == "" || u.Scheme != "ldap" && u.Scheme != "ldaps" {
		return fault.Newf(fault.Unavailable, "dirsync.follow", "the directory refers to %q, which is no LDAP server; referrals: ignore leaves such parts out", referral)
	}
	if below := strings.TrimPrefix(u.Path, "/"); below != "" {
		base = below
	}
	if where := hostPort(u) + "/" + dirsync.DNKey(base); w.seen[where] {
		return nil
	} else {
		w.seen[where] = true
	}
	if w.referred++; hops > maxHops || w.referred > maxReferrals {
		return fault.Newf(fault.Limit, "dirsync.follow", "the directory refers on more than %d times, at last to %s", min(hops-1, maxReferrals), referral)
	}
	server, trusted := w.trusted(u)
	if !trusted {
		server = u.Scheme + "://" + u.Host
	}
	l, err := w.open(ctx, server, trusted)
	if err == nil {
		defer l.close()
		err = w.read(ctx, l, base, server, hops)
	}
	if err != nil && !trusted {
		return fault.Newf(fault.Unavailable, "dirsync.follow", "the directory refers to %s, which gives nothing to strangers: name it in referral-servers to have it given the password of the account, or set referrals to ignore", server).Because(err)
	}
	return err
}

const contextClass = 0x80 // of a tag in BER (X.690 8.1.2.2)

// referralsOf reads the URLs of a result that refers elsewhere (RFC 4511 4.1.10).
func referralsOf(err error) (list []string) {
	var e *ldap.Error
	if !errors.As(err, &e) || e.Packet == nil || len(e.Packet.Children) < 2 {
		return nil
	}
	for _, part := range e.Packet.Children[1].Children {
		if part.ClassType != contextClass || part.Tag != 3 {
			continue
		}
		for _, u := range part.Children {
			list = append(list, string(u.Data.Bytes()))
		}
	}
	return slices.Compact(list)
}
