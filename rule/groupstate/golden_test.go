package groupstate

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/rule/access"
	"trivet/rule/conference"
	"trivet/uc"
)

var update = flag.Bool("update", false, "write the golden files anew")

// specimens has one of every command with every field set.
func specimens() []Command {
	flow := Flow{Server: "fe1.example.test", Epoch: 3, Conn: 70000, Transport: "tls", Remote: netip.MustParseAddrPort("192.0.2.7:40718")}
	user := uc.UserURI("sip:alice@example.test")
	const now = 1_795_000_000_123
	return []Command{
		&EnableUser{User: user, Now: now, Members: []Membership{{200, access.Member{Type: access.SameEnterprise}}, {32000, access.Member{Type: access.User, Value: "eve@example.test"}}}},
		&DisableUser{User: user, Now: now},
		&RemoveUser{User: user, Now: now},
		&Bind{User: user, Now: now, Max: 8, CallID: "call", CSeq: 7, Flow: flow, UserAgent: "agent/1", Path: "<sip:edge.example.test;lr>",
			Contacts: []BindContact{{Endpoint: "abb2cb12b77f", Instance: "urn:uuid:0e324752-0000-5000-8000-000000000000", RegID: 1,
				Contact: "sip:192.0.2.7:40718;transport=tls", Params: ";proxy=replace", GRUU: "sip:alice@example.test;gruu", Q: 500,
				Lync: true, Methods: "INVITE, MESSAGE", Lifetime: 600_000}}},
		&Unbind{User: user, Endpoint: "abb2cb12b77f", Now: now, Reason: AttributesChanged, CallID: "call", CSeq: 8},
		&Detach{User: user, Endpoint: "abb2cb12b77f", Server: "fe1.example.test", Epoch: 3, Conn: 70000, Now: now, Grace: 20_000},
		&Restarted{Server: "fe1.example.test", Epoch: 4, Now: now, Grace: 20_000},
		&Sweep{Now: now, Max: 500},
		&Publish{User: user, Endpoint: "abb2cb12b77f", Now: now, Items: []PublishItem{
			{PublicationKey: PublicationKey{Category: "state", Container: 2, Instance: 0x20000000}, Version: 4, ExpireType: TimeBound, Lifetime: 60_000, Body: "<state/>"},
			{PublicationKey: PublicationKey{Category: "note", Container: 200}, Version: AnyVersion, Remove: true}}},
		&SetContainers{User: user, By: "abb2cb12b77f", Now: now, Changes: []ContainerChange{{ID: 200, Version: 2, Members: []MemberChange{{true, access.Member{Type: access.Domain, Value: "partner.test"}}}}}},
		&AddPrompt{User: user, Now: now, Watcher: "sip:bob@example.test", DisplayName: "Bob Brøwn", Type: access.Federated, Max: 200},
		&SetSubscribers{User: user, By: "abb2cb12b77f", Now: now, Items: []SubscriberChange{{"sip:bob@example.test", true}}},
		&SetContact{User: user, By: "abb2cb12b77f", Now: now, Delta: 4, Max: 250, Contact: Contact{URI: "sip:bob@example.test", Name: "Bob", Groups: Groups(1, 64), Subscribed: true, ExternalURI: "x:1"}},
		&DeleteContact{User: user, By: "abb2cb12b77f", Now: now, Delta: 5, URI: "sip:bob@example.test"},
		&AddGroup{User: user, By: "abb2cb12b77f", Now: now, Delta: 6, Name: "Team", ExternalURI: "x:2"},
		&ModifyGroup{User: user, By: "abb2cb12b77f", Now: now, Delta: 7, ID: 2, Name: "Pals", ExternalURI: "x:3"},
		&DeleteGroup{User: user, By: "abb2cb12b77f", Now: now, Delta: 8, ID: 2},
		&Subscribe{User: user, Endpoint: "abb2cb12b77f", Now: now, Lifetime: 28_800_000, Refresh: true, Event: "presence", Format: PIDF, Benotify: true,
			Dialog: Dialog{CallID: "sub", LocalURI: "<sip:alice@example.test>", LocalTag: "l", RemoteURI: "<sip:alice@example.test>", RemoteTag: "r", RemoteParams: ";epid=abb2cb12b77f",
				RemoteTarget: "sip:192.0.2.7:40718", Routes: []string{"<sip:edge.example.test;lr>"}, RemoteCSeq: 3},
			Flow: flow, Targets: []uc.UserURI{"sip:bob@example.test"}, Categories: []string{"state", "note"}},
		&Unsubscribe{User: user, Endpoint: "abb2cb12b77f", Now: now, CallID: "sub", RemoteTag: "r", ID: 9, Reason: ClientInitiated},
		&RenameUser{User: user, To: "sip:alice.jones@example.test", Now: now},
		&AddConference{Organizer: user, Now: now, Max: 1000, ID: "5815AB", Subject: "Plans", Level: conference.Invited, Promote: conference.PromoteCompany, Expires: now + 28_800_000,
			Modalities: []string{"chat"}, Listed: []Listed{{"sip:bob@example.test", true}}},
		&ModifyConference{Organizer: user, ID: "5815AB", Now: now, What: changeAll, Subject: "Other plans", Level: conference.Everyone, Promote: conference.PromoteEveryone, Locked: true, Expires: now + 3_600_000,
			Listed: []Listed{{"sip:carol@example.test", true}}},
		&SetConferenceRole{Organizer: user, ID: "5815AB", Now: now, User: "sip:dave@example.test", Presenter: true},
		&ActivateConference{Organizer: user, ID: "5815AB", Now: now, Until: now + 7_200_000},
		&DeleteConference{Organizer: user, ID: "5815AB", Now: now},
		&ImportUser{Now: now, Add: true, Record: *specimen()},
	}
}

// specimen is a record with every field set.
func specimen() *Record {
	const now = 1_795_000_000_123
	return &Record{
		User: "sip:alice@example.test", Since: now, Disabled: true,
		Containers:   []Container{{ID: 200, Version: 2, Members: []access.Member{{Type: access.Domain, Value: "partner.test"}}}},
		Subscribers:  []Subscriber{{User: "sip:bob@example.test", DisplayName: "Bob", Type: access.Federated, Acknowledged: true, Since: now}},
		Publications: []*Publication{{PublicationKey: PublicationKey{Category: "note", Container: 2, Instance: 1}, Version: 3, Published: now, Endpoint: "abb2cb12b77f", Body: "<note/>"}},
		Contacts: &ContactList{Delta: 7, Groups: []ContactGroup{{ID: 1, Name: "~"}, {ID: 2, Name: "Pals", ExternalURI: "x:2"}}, last: 2,
			Contacts: []*Contact{{URI: "sip:bob@example.test", Name: "Bob", Groups: Groups(1, 2), Subscribed: true, ExternalURI: "x:1"}}},
		Conferences: []*Conference{{ID: "5815AB", Subject: "Plans", Level: conference.Invited, Promote: conference.PromoteCompany, Locked: true, Created: now, Updated: now, Activated: now,
			Expires: now + 28_800_000, Modalities: []string{"chat"}, Listed: []Listed{{"sip:bob@example.test", true}}}},
	}
}

// golden compares got with a file of testdata, which -update writes.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the encoding changed; logs of older versions would be read wrongly (-want +got)\n%s", diff)
	}
}

func TestEncodingsNeverChange(t *testing.T) {
	var b strings.Builder
	all := specimens()
	for _, cmd := range all {
		fmt.Fprintf(&b, "%d %s %s\n", cmd.number(), reflect.TypeOf(cmd).Elem().Name(), hex.EncodeToString(Encode(cmd)))
		back, err := Decode(Encode(cmd))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(cmd, back, everything); diff != "" {
			t.Errorf("%T does not survive (-want +got)\n%s", cmd, diff)
		}
		complete(t, reflect.ValueOf(cmd).Elem(), reflect.TypeOf(cmd).String())
	}
	if len(all) != len(commands)-1 {
		t.Errorf("%d specimens for %d commands", len(all), len(commands)-1)
	}
	golden(t, "commands.golden", b.String())
}

// complete fails for a field of a specimen that is zero: fields() may forget it.
func complete(t *testing.T, v reflect.Value, where string) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if v.Type().Field(i).IsExported() && !strings.Contains("Remove RemoveMember Member Remote Items Members Instance", name) {
				complete(t, v.Field(i), where+"."+name)
			}
		}
	default:
		if v.IsZero() {
			t.Errorf("%s is not set in the specimen", where)
		}
	}
}

// populated is a state with something of every noun.
func populated(t testing.TB) *State {
	s := New()
	for _, cmd := range specimens() {
		switch x := cmd.(type) {
		case *DisableUser, *RemoveUser, *Unbind, *Sweep, *DeleteContact, *DeleteGroup, *Unsubscribe, *Restarted, *RenameUser, *DeleteConference, *ImportUser:
			continue
		case *Publish:
			x.Items[0].Version = 0
			x.Items = append(x.Items, PublishItem{PublicationKey: PublicationKey{Category: "device", Container: 2, Instance: 5}, ExpireType: EndpointBound, Body: "<device/>"})
		case *SetContainers:
			x.Changes[0].Version, x.Changes[0].Members[0].Remove = 1, false
		case *SetContact:
			x.Contact.Groups = Groups(1)
		case *Subscribe:
			x.Refresh = false
		}
		if r, _ := s.Apply(1, Encode(cmd)); Refused(r) != nil {
			t.Fatalf("%T: %v", cmd, r)
		}
	}
	return s
}

func TestSnapshotsNeverChange(t *testing.T) {
	var b bytes.Buffer
	if err := populated(t).Snapshot()(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "snapshot.golden", hex.Dump(b.Bytes()))
}

func TestDamagedSnapshotsAreRefused(t *testing.T) {
	s := populated(t)
	var b bytes.Buffer
	if err := s.Snapshot()(&b); err != nil {
		t.Fatal(err)
	}
	other := populated(t)
	hash := other.Hash()
	for i := range b.Len() {
		broken := bytes.Clone(b.Bytes())
		broken[i] ^= 0x41
		if err := other.Restore(bytes.NewReader(broken)); !fault.Is(err, fault.Invalid) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if err := other.Restore(bytes.NewReader(b.Bytes()[:i])); !fault.Is(err, fault.Invalid) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	if other.Hash() != hash {
		t.Error("a refused snapshot changed the state")
	}
}

func TestBadCommandsAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		raw  []byte
		kind fault.Kind
	}{
		"empty":          {nil, fault.Invalid},
		"number alone":   {[]byte{1}, fault.Invalid},
		"number 0":       {[]byte{0, 1}, fault.Unsupported},
		"unknown number": {[]byte{100, 1, 0}, fault.Unsupported},
		"later version":  {append([]byte{numSweep, 2}, Encode(&Sweep{Now: 1})[2:]...), fault.Unsupported},
		"cut off":        {Encode(&DeleteGroup{User: "sip:alice@example.test", ID: 3})[:9], fault.Invalid},
		"trailing":       {append(Encode(&Sweep{Now: 1}), 0), fault.Invalid},
		"long name":      {Encode(&AddGroup{User: "sip:alice@example.test", Name: strings.Repeat("x", maxName+1)}), fault.Invalid},
		"many targets":   {Encode(&Subscribe{Targets: make([]uc.UserURI, MaxTargets+1)}), fault.Invalid},
		"too large":      {make([]byte, maxCommand+1), fault.Limit},
	} {
		s := New()
		r, events := s.Apply(1, tc.raw)
		if !fault.Is(Refused(r), tc.kind) || events != nil {
			t.Errorf("%s: %v, want %s", name, r, tc.kind)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, cmd := range specimens() {
		f.Add(Encode(cmd))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		cmd, err := Decode(raw)
		if err != nil {
			return
		}
		again, err := Decode(Encode(cmd))
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if !bytes.Equal(Encode(again), Encode(cmd)) {
			t.Fatal("reading twice gives something else")
		}
		s := populated(t)
		s.Apply(2, raw)
		if err := New().Restore(snapshotOf(t, s)); err != nil {
			t.Fatalf("the state after %T cannot be restored: %v", cmd, err)
		}
	})
}

func snapshotOf(t testing.TB, s *State) *bytes.Buffer {
	var b bytes.Buffer
	if err := s.Snapshot()(&b); err != nil {
		t.Fatal(err)
	}
	return &b
}

func FuzzRestore(f *testing.F) {
	f.Add(snapshotOf(f, populated(f)).Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := New()
		if s.Restore(bytes.NewReader(raw)) != nil && s.Len() > 0 {
			t.Fatal("a refused snapshot left something behind")
		}
	})
}
