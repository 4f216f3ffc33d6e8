package dirsync

import (
	"context"
	"log/slog"
	"net/url"

	"github.com/go-ldap/ldap/v3"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/rule/dirsync"
	"trivet/store/users"
)

// maxPhotos is how many photos one run reads. The next one goes on.
const maxPhotos = 5000

// maxUnread is how many photos that cannot be read end the reading of photos.
const maxUnread = 10

// photos reads the photos of users whose entries have changed since theirs was read
// last. A photo that cannot be read or stored is told in the log; it keeps nobody
// from anything else.
func (j *job) photos(ctx context.Context, f *fetched) error {
	attributes := j.mapping.PhotoAttributes()
	if !j.Photos || len(attributes) == 0 {
		return nil
	}
	list, err := j.cfg.Users.List(ctx, users.Query{})
	if err != nil {
		return err
	}
	stored := make(map[string]*directory.User, len(list))
	for i := range list {
		if list[i].Source == j.Name {
			stored[list[i].SourceID] = &list[i]
		}
	}
	a := album{job: j, server: f.server, links: map[string]*link{}, attributes: attributes}
	defer a.close()
	for i := range f.people {
		p := &f.people[i]
		k, u := j.known[p.ID], stored[p.ID]
		if u == nil || p.Stamp != "" && p.Stamp == k.Stamp {
			continue
		}
		if a.read++; a.read > maxPhotos || ctx.Err() != nil {
			break
		}
		if err := a.photo(ctx, p, u, &k); err != nil {
			j.cfg.Log.Warn("a photo was not read; the next run tries again", "source", j.Name, "dn", p.DN, "err", err)
			if a.failed++; a.failed > maxUnread {
				break
			}
			continue
		}
		a.done = append(a.done, k)
	}
	return j.cfg.State.Put(ctx, j.Name, a.done...)
}

// album reads photos from the servers that the entries came from.
type album struct {
	*job
	server     string
	links      map[string]*link // by URL
	attributes []string
	read       int
	failed     int
	done       []dirsync.Known
}

func (a *album) close() {
	for _, l := range a.links {
		l.close()
	}
}

func (a *album) link(ctx context.Context, origin string) (*link, error) {
	server, trusted := or(origin, a.server), true
	if l := a.links[server]; l != nil {
		return l, nil
	}
	if u, err := url.Parse(server); err == nil && origin != "" {
		_, trusted = a.trusted(u)
	}
	l, err := a.open(ctx, server, trusted)
	if err == nil {
		a.links[server] = l
	}
	return l, err
}

// photo brings the photo of one user up to date.
func (a *album) photo(ctx context.Context, p *dirsync.Person, u *directory.User, k *dirsync.Known) error {
	l, err := a.link(ctx, p.Origin)
	if err != nil {
		return err
	}
	res, err := l.Search(ldap.NewSearchRequest(p.DN, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)", a.attributes, nil))
	if err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
		return because(err, "%s did not give the photo of %s", l.url, p.DN)
	}
	k.Stamp = p.Stamp
	if data := picture(res, a.attributes); data != nil {
		return a.set(ctx, data, u, k)
	}
	if k.Photo != "" && k.Photo == u.PhotoHash { // it was ours, and is gone there
		err = a.cfg.Users.RemovePhoto(ctx, u.GUID)
	} else {
		err = nil
	}
	k.Photo = ""
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// picture is the first value of the first attribute that has one.
func picture(res *ldap.SearchResult, attributes []string) []byte {
	if res == nil || len(res.Entries) == 0 {
		return nil
	}
	for _, name := range attributes {
		if v := res.Entries[0].GetEqualFoldRawAttributeValue(name); len(v) > 0 {
			return v
		}
	}
	return nil
}

func (a *album) set(ctx context.Context, data []byte, u *directory.User, k *dirsync.Known) error {
	p, err := directory.ReadPhoto(data)
	if err == nil && p.Hash != u.PhotoHash {
		_, err = a.cfg.Users.SetPhoto(ctx, u.GUID, data)
	}
	switch {
	case fault.Is(err, fault.Invalid):
		a.cfg.Log.Log(ctx, slog.LevelInfo, "the photo of a user in a directory cannot be used", "source", a.Name, "dn", k.DN, "err", err)
		return nil
	case fault.Is(err, fault.NotFound):
		return nil
	case err == nil:
		k.Photo = p.Hash
	}
	return err
}
