package registrar

import (
	"hash/maphash"
	"strings"
	"sync"

	"trivet/rule/groupstate"
	"trivet/uc"
)

const indexShards = 256

// index says where users are. Slices in it are never changed, only replaced.
type index struct {
	seed   maphash.Seed
	shards [indexShards]shard
}

type shard struct {
	mu        sync.RWMutex // guards the fields below
	users     map[uc.UserURI][]groupstate.Binding
	endpoints int
}

func (x *index) init() {
	x.seed = maphash.MakeSeed()
	for i := range x.shards {
		x.shards[i].users = map[uc.UserURI][]groupstate.Binding{}
	}
}

func (x *index) shard(user uc.UserURI) *shard {
	return &x.shards[maphash.String(x.seed, string(user))%indexShards]
}

func (x *index) get(user uc.UserURI) []groupstate.Binding {
	s := x.shard(user)
	s.mu.RLock()
	b := s.users[user]
	s.mu.RUnlock()
	return b
}

func (x *index) set(user uc.UserURI, bindings []groupstate.Binding) {
	s := x.shard(user)
	s.mu.Lock()
	s.endpoints += len(bindings) - len(s.users[user])
	if len(bindings) == 0 {
		delete(s.users, user)
	} else {
		s.users[user] = bindings
	}
	s.mu.Unlock()
}

func (x *index) count() (users, endpoints int) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.RLock()
		users += len(s.users)
		endpoints += s.endpoints
		s.mu.RUnlock()
	}
	return users, endpoints
}

// ByGRUU returns the endpoint that a request URI names by its GRUU, nil when the
// URI is no GRUU of these endpoints. Without "gr" or "opaque" it does not look.
func ByGRUU(bindings []groupstate.Binding, requestURI string) *groupstate.Binding {
	if !strings.Contains(requestURI, ";gr") && !strings.Contains(requestURI, ";opaque=") {
		return nil
	}
	for i := range bindings {
		if g := bindings[i].GRUU; g != "" && sameGRUU(g, requestURI) {
			return &bindings[i]
		}
	}
	return nil
}

// sameGRUU compares a GRUU with a request URI, whose parameters may have changed
// places. The parameter that names the endpoint is compared exactly.
func sameGRUU(gruu, uri string) bool {
	aor, params, _ := strings.Cut(gruu, ";")
	other, rest, _ := strings.Cut(uri, ";")
	if !strings.EqualFold(aor, other) {
		return false
	}
	for p := range strings.SplitSeq(params, ";") {
		if strings.ContainsRune(p, '=') && !hasParam(rest, p) {
			return false
		}
	}
	return true
}

func hasParam(params, want string) bool {
	for p := range strings.SplitSeq(params, ";") {
		if p == want {
			return true
		}
	}
	return false
}
