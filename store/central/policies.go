package central

import (
	"context"
	"sync"
	"sync/atomic"

	"trivet/fault"
	"trivet/rule/policy"
)

// Authors of changes that no administrator made.
const (
	Shipped  = "shipped"     // tags that exist from the start
	Settings = "trivet.yaml" // values of the settings file
)

// Policies are the policies of a store, resolved for the servers of one site. A
// change is in the book before the method that made it returns.
type Policies struct {
	store Store
	site  string
	book  atomic.Pointer[policy.Book]
	mu    sync.Mutex // held while a book is replaced
	list  []policy.Instance
}

// OpenPolicies makes the tags that are shipped and reads everything. settings are
// values from elsewhere, by kind: they are the Global values as long as nobody has
// changed that Global by hand. In a pool the store has to have caught up before:
// what another server has removed is not to come back.
func OpenPolicies(ctx context.Context, store Store, site string, settings map[*policy.Kind]policy.Values) (*Policies, error) {
	p := &Policies{store: store, site: site}
	for _, k := range policy.Kinds() {
		if err := p.ship(ctx, k); err != nil {
			return nil, err
		}
		if given, ok := settings[k]; ok {
			if err := p.settle(ctx, k, given); err != nil {
				return nil, err
			}
		}
	}
	if err := p.Reload(ctx); err != nil {
		return nil, err
	}
	store.OnChange(p.follow)
	return p, nil
}

// Reload reads all documents of the store into a new book. On a failure the book
// stays as it is.
func (p *Policies) Reload(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	docs, err := p.store.List(ctx, "")
	if err != nil {
		return err
	}
	var list []policy.Instance
	for _, d := range docs {
		if in, ok, err := instance(d); err != nil {
			return err
		} else if ok {
			list = append(list, in)
		}
	}
	b, err := policy.Compile(p.site, list)
	if err != nil {
		return err
	}
	p.list = list
	p.book.Store(b)
	return nil
}

// ship makes the tags of a kind that exist from the start, once.
func (p *Policies) ship(ctx context.Context, k *policy.Kind) error {
	for _, s := range k.Shipped {
		id := policy.Identity{Scope: policy.Tag, Name: s.Name}
		if past, err := p.store.History(ctx, k.Noun, id.String(), 1); err != nil || len(past) > 0 {
			if err != nil {
				return err
			}
			continue
		}
		if _, err := p.store.Change(ctx, Shipped, k.Noun, id.String(), func(made []byte) ([]byte, error) {
			if made != nil { // by another server of the pool
				return made, nil
			}
			return k.Encode(s.Values), nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// settle gives Global the values of the settings file, as long as only the file
// has spoken.
func (p *Policies) settle(ctx context.Context, k *policy.Kind, given policy.Values) error {
	past, err := p.store.History(ctx, k.Noun, policy.Identity{}.String(), 1)
	if err != nil || len(past) > 0 && past[0].By != Settings {
		return err
	}
	checked, err := k.Check(given)
	if err != nil {
		return err
	}
	_, err = p.store.Change(ctx, Settings, k.Noun, policy.Identity{}.String(), func([]byte) ([]byte, error) {
		if len(checked) == 0 {
			return nil, nil
		}
		return k.Encode(checked), nil
	})
	return err
}

// instance reads a document; ok is false for one that is no policy we know.
func instance(d Document) (in policy.Instance, ok bool, err error) {
	k := policy.ByNoun(d.Kind)
	if k == nil {
		return in, false, nil
	}
	id, err := k.ParseIdentity(d.Identity)
	if err == nil {
		var values policy.Values
		values, err = k.Decode(d.Content)
		in = policy.Instance{Kind: k, Identity: id, Values: values, Version: d.Version, Changed: d.Changed, By: d.By}
	}
	if err != nil {
		return in, false, fault.Newf(fault.Invalid, "central.Policies", "%s %s in the configuration database cannot be read", d.Kind, d.Identity).Because(err)
	}
	return in, true, nil
}

// Book is what holds now. It neither locks nor waits.
func (p *Policies) Book() *policy.Book { return p.book.Load() }

// Change lets change make the new values of an instance: it gets the old ones and
// whether there is one, and returns the new ones, nil to remove it. The change is
// on disk and in the book when it returns.
func (p *Policies) Change(ctx context.Context, by string, k *policy.Kind, id policy.Identity, change func(old policy.Values, exists bool) (policy.Values, error)) error {
	_, err := p.store.Change(ctx, by, k.Noun, id.String(), func(stored []byte) ([]byte, error) {
		var old policy.Values
		if stored != nil {
			var err error
			if old, err = k.Decode(stored); err != nil {
				return nil, err
			}
		}
		values, err := change(old, stored != nil)
		if err != nil || values == nil {
			return nil, err
		}
		if values, err = k.Check(values); err != nil {
			return nil, err
		}
		return k.Encode(values), nil
	})
	return err
}

// follow takes a committed change into a new book.
func (p *Policies) follow(c Change) {
	k := policy.ByNoun(c.Kind)
	if k == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	id, err := k.ParseIdentity(c.Identity)
	if err != nil {
		return
	}
	list := make([]policy.Instance, 0, len(p.list)+1)
	for _, in := range p.list {
		if in.Kind != k || !in.Identity.Same(id) {
			list = append(list, in)
		}
	}
	if c.New != nil {
		in, _, err := instance(Document{Kind: c.Kind, Identity: c.Identity, Content: c.New, Version: c.Version, Changed: c.At, By: c.By})
		if err != nil {
			return // Change has checked it
		}
		list = append(list, in)
	}
	b, err := policy.Compile(p.site, list)
	if err != nil {
		return
	}
	p.list = list
	p.book.Store(b)
}
