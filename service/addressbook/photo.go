package addressbook

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/uc"
)

// photoPrefix begins the names of photos below FilesPath; the GUID follows.
const photoPrefix = "P-"

type photoAttribute struct{ name, value string }

// photoOf are the attributes of a user's photo that are wanted: where it is below
// FilesPath, what its content hashes to, and its size in bytes.
func (s *Service) photoOf(ctx context.Context, u *directory.User, wanted selection) []photoAttribute {
	var list []photoAttribute
	if wanted.has("PhotoRelPath") {
		list = append(list, photoAttribute{"PhotoRelPath", photoPrefix + u.GUID})
	}
	if wanted.has("PhotoSize") {
		if n := s.photoSize(ctx, u); n > 0 {
			list = append(list, photoAttribute{"PhotoSize", strconv.Itoa(n)})
		}
	}
	if wanted.has("PhotoHash") {
		list = append(list, photoAttribute{"PhotoHash", u.PhotoHash})
	}
	return list
}

const maxPhotoSizes = 100_000

// photoSizes remembers sizes by hash, so that a search does not read photos.
type photoSizes struct {
	mu    *sync.Mutex // guards sizes
	sizes map[string]int
}

func newPhotoSizes() photoSizes { return photoSizes{&sync.Mutex{}, map[string]int{}} }

func (p photoSizes) get(hash string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sizes[hash]
}

func (p photoSizes) put(hash string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.sizes) >= maxPhotoSizes {
		clear(p.sizes)
	}
	p.sizes[hash] = n
}

// photoSize is the size of a user's photo, 0 when it cannot be read just now.
func (s *Service) photoSize(ctx context.Context, u *directory.User) int {
	if n := s.sizes.get(u.PhotoHash); n > 0 {
		return n
	}
	p, err := s.cfg.Directory.Photo(ctx, u.GUID)
	if err != nil {
		return 0
	}
	s.sizes.put(p.Hash, len(p.Data))
	return len(p.Data)
}

// serveName serves what has a name below FilesPath: photos and address book files.
func (s web) serveName(w http.ResponseWriter, r *http.Request) {
	user, err := s.who(r)
	if err == nil {
		err = s.brake.check(user, s.cfg.Clock.Now())
	}
	if err == nil {
		if guid, ok := strings.CutPrefix(r.PathValue("name"), photoPrefix); ok {
			err = s.servePhoto(w, r, user, guid)
		} else {
			err = s.serveFile(w, r, user)
		}
	}
	if err != nil {
		s.refuse(w, r, err)
	}
}

// who is the user of the web ticket. A ticket for the address book query is one for
// its files, too: clients show the one they have.
func (s web) who(r *http.Request) (uc.UserURI, error) {
	if r.TLS == nil {
		return "", fault.New(fault.Forbidden, "addressbook.who", "this service is reached over HTTPS only")
	}
	user, err := s.tickets.Bearer(r, expansionPath)
	if err == nil {
		return user, nil
	}
	if user, second := s.tickets.Bearer(r, filesPath); second == nil {
		return user, nil
	}
	return "", err
}

// servePhoto serves the photo of a user. Whom nobody may find has none to show.
func (s web) servePhoto(w http.ResponseWriter, r *http.Request, user uc.UserURI, guid string) error {
	const op = "addressbook.servePhoto"
	if !s.cfg.Rights(user).Photos {
		return fault.New(fault.Forbidden, op, "the client policy of the user does not show photos")
	}
	s.mu.RLock()
	of, ok := s.people.Get(guid)
	s.mu.RUnlock()
	if !ok || of.PhotoHash == "" {
		return fault.New(fault.NotFound, op, "there is no such photo")
	}
	h := w.Header()
	h.Set("ETag", `"`+of.PhotoHash+`"`)
	h.Set("Cache-Control", "private, max-age=86400") // clients look at the hash once a day
	if r.Header.Get("If-None-Match") == `"`+of.PhotoHash+`"` {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	p, err := s.cfg.Directory.Photo(r.Context(), guid)
	if err != nil {
		h.Del("ETag")
		h.Del("Cache-Control")
		return err
	}
	h.Set("ETag", `"`+p.Hash+`"`)
	h.Set("Content-Type", p.Type)
	h.Set("Content-Length", strconv.Itoa(len(p.Data)))
	w.Write(p.Data)
	return nil
}

// refuse writes an error without SOAP: a problem, RFC 9457. Who shows no good
// ticket is told where tickets are.
func (s web) refuse(w http.ResponseWriter, r *http.Request, err error) {
	o, e := s.outcomeOf(w, err)
	h := w.Header()
	if o.plain == http.StatusUnauthorized {
		h.Set("X-MS-WebTicketURL", s.tickets.Issuer(r))
		h.Set("X-MS-WebTicketSupported", "saml")
	}
	body, err := json.Marshal(map[string]any{"type": "about:blank", "title": http.StatusText(o.plain), "status": o.plain, "detail": e.Text})
	if err != nil {
		s.cfg.Log.Error("a problem could not be written", "err", err)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(o.plain)
	w.Write(body)
}
