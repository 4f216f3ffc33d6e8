package durability

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"trivet/fault"
	"trivet/link/sipclient"
	"trivet/uc"
	"trivet/wire/presdoc"
	"trivet/wire/sip"
)

// client is one user over all lives of the server.
type client struct {
	user   uc.UserURI
	others []uc.UserURI // who else is there, to be added as a contact
	dice   *rand.Rand
	made   int // changes drawn so far, for values that never repeat

	account  *account         // as acknowledged
	computed map[place]uint32 // versions of the states that the server computes, as last seen
	pending  *change          // under way when the server died
	added    map[uc.UserURI]bool

	conn *sipclient.Client
}

func newClient(name string, dice *rand.Rand) *client {
	return &client{user: address(name), dice: dice, added: map[uc.UserURI]bool{}, computed: map[place]uint32{}}
}

// connect dials and proves who the user is, without registering anything, and
// returns the answer, which lists what is registered.
func (c *client) connect(ctx context.Context, addr string, handle func(*sip.Message) *sip.Message) (*sip.Message, error) {
	var err error
	if c.conn, err = sipclient.Dial(ctx, sipclient.Config{Addr: addr, User: c.user, Password: password, Scheme: sipclient.Digest, Handle: handle}); err != nil {
		return nil, err
	}
	return c.ask(ctx, c.register())
}

// ask is a request that has to succeed.
func (c *client) ask(ctx context.Context, m *sip.Message) (*sip.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	res, err := c.conn.Do(ctx, m)
	if err == nil && res.Status != 200 {
		err = fault.Newf(fault.Internal, "durability.ask", "%s %s is answered with %d %s %s: %s", c.user, m.Method, res.Status, res.Reason, res.Get("ms-diagnostics"), m.Body)
	}
	return res, err
}

func (c *client) register(contacts ...string) *sip.Message {
	m := c.conn.Request("REGISTER", c.user)
	m.RequestURI = "sip:" + domain
	for _, v := range contacts {
		m.Add("Contact", v)
	}
	return m
}

func (c *client) service(contentType string, body []byte) *sip.Message {
	m := c.conn.Request("SERVICE", c.user)
	m.Add("Content-Type", contentType)
	m.Body = body
	return m
}

// poll asks once for a document of the user's own.
func (c *client) poll(ctx context.Context, event string) ([]byte, error) {
	m := c.conn.Request("SUBSCRIBE", c.user)
	m.Add("Contact", c.conn.Contact())
	m.Add("Event", event)
	m.Add("Accept", "application/"+event+"+xml")
	m.Add("Expires", "0")
	m.Add("Supported", "ms-benotify, ms-piggyback-first-notify")
	m.Add("Proxy-Require", "ms-benotify")
	res, err := c.ask(ctx, m)
	if err == nil && len(res.Body) == 0 {
		err = fmt.Errorf("%s: no document in the answer to SUBSCRIBE %s", c.user, event)
	}
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

func (c *client) self(ctx context.Context) (presdoc.Roaming, error) {
	body, err := c.poll(ctx, "vnd-microsoft-roaming-self")
	if err != nil {
		return presdoc.Roaming{}, err
	}
	r, err := presdoc.ParseRoaming(body)
	if err == nil && r.Categories == nil {
		err = fmt.Errorf("%s: no categories in %s", c.user, body)
	}
	return r, err
}

// read connects and reads everything.
func (c *client) read(ctx context.Context, addr string) (*account, map[place]uint32, error) {
	var got account
	res, err := c.connect(ctx, addr, nil)
	if err != nil {
		return nil, nil, err
	}
	if err := got.readBindings(res); err != nil {
		return nil, nil, err
	}
	body, err := c.poll(ctx, "vnd-microsoft-roaming-contacts")
	if err != nil {
		return nil, nil, err
	}
	list, err := presdoc.ParseContactList(body)
	if err != nil {
		return nil, nil, err
	}
	got.readContacts(list)
	r, err := c.self(ctx)
	if err != nil {
		return nil, nil, err
	}
	if got.Meetings, err = c.meetings(ctx); err != nil {
		return nil, nil, err
	}
	return &got, got.readSelf(r), nil
}

// outcome says what became of the change that was under way.
type outcome int

const (
	nothing outcome = iota // none was
	absent
	present
	broken
)

// comeBack signs in after a restart and holds what is there against what was
// acknowledged. Every device is registered again, on the new connection.
func (c *client) comeBack(t *testing.T, addr string) outcome {
	got, computed, err := c.read(t.Context(), addr)
	if err != nil {
		t.Errorf("%s: %v", c.user, err)
		return broken
	}
	was := c.settle(t, got)
	for at, version := range c.computed {
		if computed[at] < version {
			t.Errorf("%s: the version of %v went back from %d to %d", c.user, at, version, computed[at])
		}
	}
	c.computed = computed
	var again []string
	for id, v := range c.account.Bound {
		uri, q, _ := strings.Cut(v, " ")
		again = append(again, "<"+uri+`>;+sip.instance="<`+id+`>";expires=3600;q=`+q)
	}
	if len(again) > 0 {
		if _, err := c.ask(t.Context(), c.register(again...)); err != nil {
			t.Errorf("%s: %v", c.user, err)
		}
	}
	return was
}

// settle finds out what became of the change under way: got has to be the account
// before or after it, whole.
func (c *client) settle(t *testing.T, got *account) outcome {
	same := func(a *account) string {
		return cmp.Diff(a, got, cmpopts.IgnoreUnexported(account{}), cmpopts.EquateEmpty())
	}
	if c.account == nil { // the first time
		got.last = 1
		c.account = got
		return nothing
	}
	if c.account.Delta > got.Delta {
		t.Errorf("%s: deltaNum went back from %d to %d", c.user, c.account.Delta, got.Delta)
	}
	pending := c.pending
	c.pending = nil
	lost := same(c.account)
	switch {
	case lost == "" && pending == nil:
		return nothing
	case lost == "":
		return absent
	case pending != nil && same(pending.after) == "":
		c.take(pending)
		return present
	}
	name := "nothing"
	if pending != nil {
		name = pending.name
	}
	t.Errorf("%s: what was acknowledged (-) is not what is there (+); under way was %s\n%s", c.user, name, lost)
	got.last = c.account.last
	c.account = got
	return broken
}

// take makes the account what it is after a change.
func (c *client) take(ch *change) {
	for uri, k := range ch.after.Contacts {
		if k.Subscribed {
			c.added[uc.UserURI(uri)] = true
		}
	}
	c.account = ch.after
}

// work makes changes as fast as they are answered until the server dies; done is
// called for each that was acknowledged.
func (c *client) work(t *testing.T, died *lives, done func()) {
	for {
		ch := c.change()
		res, err := c.ask(t.Context(), ch.req)
		if err != nil {
			if c.pending = ch; !died.now() || !fault.Is(err, fault.Unavailable) {
				t.Errorf("%s: %s: %v", c.user, ch.name, err)
			}
			return
		}
		c.take(ch)
		if strings.HasPrefix(ch.name, "publish state") {
			c.noteComputed(t, res.Body)
		}
		done()
	}
}

// noteComputed remembers the versions that the server told of.
func (c *client) noteComputed(t *testing.T, body []byte) {
	r, err := presdoc.ParseRoaming(body)
	if err != nil || r.Categories == nil {
		t.Errorf("%s: %v in the answer to a publication: %s", c.user, err, body)
		return
	}
	for _, k := range r.Categories.List {
		if k.Name == "state" && k.Instance != userState {
			c.computed[place{k.Name, k.Container, k.Instance}] = k.Version
		}
	}
}

// askedBy are those whom the user is asked about.
func (c *client) askedBy(ctx context.Context) ([]uc.UserURI, error) {
	r, err := c.self(ctx)
	var all []uc.UserURI
	for _, s := range r.Subscribers {
		all = append(all, uc.UserURI("sip:"+s.User))
	}
	slices.Sort(all)
	return all, err
}

// hangUp ends the connection.
func (c *client) hangUp() {
	if c.conn != nil {
		_ = c.conn.Close() // net.ErrClosed when the server was faster
	}
	c.conn = nil
}
