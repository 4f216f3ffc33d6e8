package frontend

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"trivet/replica"
	"trivet/uc"
)

// The leader of the pool group sees to all groups, also to those of which it is no member
// (yet): it may have joined the pool a moment ago, or the group was recovered without it.
// What its own copies cannot tell it asks of those who lead the groups.

// callLed asks a server which groups it leads.
const callLed = "group.led"

// ledGroup is a group as its leader knows it.
type ledGroup struct {
	Members    replica.Members `json:"members"`
	Generation uint64          `json:"generation"`
	Leader     uint64          `json:"leader"`
}

// ledGroups are those that others lead, as they said last.
type ledGroups = map[uc.GroupID]ledGroup

// serveLed answers callLed.
func (f *fabric) serveLed() {
	f.links.Serve(callLed, func(context.Context, uc.ServerFQDN, []byte) ([]byte, error) {
		out := ledGroups{}
		for _, st := range f.host.Status() {
			if st.Primary {
				out[st.Group] = ledGroup{st.Members, st.Generation, f.number}
			}
		}
		return json.Marshal(out)
	})
}

// led says what is known of a group: by this server's copy if that knows a leader, else
// by whoever leads it.
func (f *fabric) led(g uc.GroupID) (x ledGroup, ok bool) {
	if r := f.host.Group(g); r != nil {
		st := r.Status()
		x, ok = ledGroup{st.Members, st.Generation, st.Leader}, len(st.Voters) > 0
	}
	if x.Leader != 0 {
		return x, ok
	}
	if told := f.told.Load(); told != nil {
		if y, known := (*told)[g]; known {
			return y, true
		}
	}
	return x, ok
}

// askWhoLeads asks the others while this server leads the pool group and there is a group
// whose leader its copies do not know.
func (f *fabric) askWhoLeads(ctx context.Context) error {
	for pause(ctx, f.clock, time.Second) == nil {
		all := f.host.Status()
		mine := slices.ContainsFunc(all, func(st replica.Status) bool { return st.Group == uc.PoolGroup && st.Primary })
		blind := slices.ContainsFunc(all, func(st replica.Status) bool { return st.Leader == 0 })
		if !mine || !blind {
			f.told.Store(nil)
			continue
		}
		told := ledGroups{}
		for _, name := range f.connected() {
			if name == f.self {
				continue
			}
			limited, cancel := context.WithTimeout(ctx, 2*time.Second)
			b, err := f.links.Call(limited, name, callLed, nil)
			cancel()
			var list ledGroups
			if err != nil || json.Unmarshal(b, &list) != nil {
				continue // it is asked again
			}
			for g, x := range list {
				if f.server(x.Leader) == name && x.Generation >= told[g].Generation {
					told[g] = x
				}
			}
		}
		f.told.Store(&told)
	}
	return nil
}
