package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/store/central"
)

// Central runs the suite of central.Store. open makes an empty store whose clock
// stands at Now, and closes it at the end of t.
func Central(t *testing.T, open func(t *testing.T) central.Store) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s central.Store)
	}{
		{"documents", documents}, {"every change is kept", changesKept}, {"refusals", documentRefusals}, {"observers", documentsTold},
		{"writers beside each other", documentWriters}, {"a cancelled context", documentsCancelled},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, open(t))
		})
	}
}

// put stores content, "" removes.
func put(t *testing.T, s central.Store, by, kind, identity, content string) central.Document {
	t.Helper()
	d, err := s.Change(t.Context(), by, kind, identity, func([]byte) ([]byte, error) {
		if content == "" {
			return nil, nil
		}
		return []byte(content), nil
	})
	if err != nil {
		t.Fatalf("Change(%s, %s): %v", kind, identity, err)
	}
	return d
}

func documents(t *testing.T, s central.Store) {
	put(t, s, "eve", "CsB", "Global", `{"a":1}`)
	put(t, s, "eve", "CsA", "Tag:x", `{}`)
	made := put(t, s, "eve", "CsA", "Global", `{"b":"é"}`)
	want := central.Document{Kind: "CsA", Identity: "Global", Content: []byte(`{"b":"é"}`), Version: 3, Changed: Now, By: "eve"}
	if d := cmp.Diff(want, made); d != "" {
		t.Error(d)
	}
	for kind, want := range map[string]string{"": "CsA Global, CsA Tag:x, CsB Global", "csa": "CsA Global, CsA Tag:x", "CsC": ""} {
		list, err := s.List(t.Context(), kind)
		var got []string
		for _, d := range list {
			got = append(got, d.Kind+" "+d.Identity)
		}
		if err != nil || strings.Join(got, ", ") != want {
			t.Errorf("List(%q): %v, %v", kind, got, err)
		}
	}
	changed := put(t, s, "mallory", "CSA", "GLOBAL", `{"b":2}`)
	if changed.Kind != "CsA" || changed.Identity != "Global" || changed.Version != 4 || changed.By != "mallory" {
		t.Errorf("names match in any case and keep their spelling: %+v", changed)
	}
	if gone := put(t, s, "eve", "CsA", "global", ""); gone.Content != nil || gone.Version != 5 {
		t.Errorf("removed: %+v", gone)
	}
	if list, err := s.List(t.Context(), "CsA"); err != nil || len(list) != 1 {
		t.Errorf("after a removal: %v, %v", list, err)
	}
}

func changesKept(t *testing.T, s central.Store) {
	put(t, s, "a", "K", "x", `1`)
	put(t, s, "b", "K", "y", `1`)
	put(t, s, "c", "k", "X", `2`)
	put(t, s, "c", "K", "x", `2`) // no change
	put(t, s, "c", "K", "z", ``)  // no change
	put(t, s, "d", "K", "x", ``)
	if v, err := s.Version(t.Context()); err != nil || v != 4 {
		t.Errorf("version %d, %v", v, err)
	}
	want := []central.Change{
		{Version: 4, At: Now, By: "d", Kind: "K", Identity: "x", Old: []byte("2")}, {Version: 3, At: Now, By: "c", Kind: "K", Identity: "x", Old: []byte("1"), New: []byte("2")}, {Version: 1, At: Now, By: "a", Kind: "K", Identity: "x", New: []byte("1")},
	}
	got, err := s.History(t.Context(), "k", "X", 10)
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	if got, err := s.History(t.Context(), "K", "x", 1); err != nil || len(got) != 1 || got[0].Version != 4 {
		t.Errorf("the newest: %v, %v", got, err)
	}
	if got, err := s.Changes(t.Context(), 1, 2); err != nil || len(got) != 2 || got[0].Version != 2 || got[1].Version != 3 {
		t.Errorf("changes after 1: %v, %v", got, err)
	}
}

func documentRefusals(t *testing.T, s central.Store) {
	put(t, s, "a", "K", "x", `1`)
	mine := errors.New("mine")
	for name, c := range map[string]struct {
		by, kind, identity, content string
		fails                       error
	}{
		"no kind": {"a", "", "x", `1`, nil}, "no author": {"", "K", "x", `2`, nil}, "long": {"a", "K", strings.Repeat("x", 257), `1`, nil},
		"no JSON": {"a", "K", "x", `{`, nil}, "too large": {"a", "K", "x", `"` + strings.Repeat("x", 1<<20) + `"`, nil}, "the caller's": {"a", "K", "x", ``, mine},
	} {
		_, err := s.Change(t.Context(), c.by, c.kind, c.identity, func([]byte) ([]byte, error) { return []byte(c.content), c.fails })
		if c.fails != nil && !errors.Is(err, c.fails) || c.fails == nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if v, err := s.Version(t.Context()); err != nil || v != 1 {
		t.Errorf("a refused change has left something: version %d, %v", v, err)
	}
}

func documentsTold(t *testing.T, s central.Store) {
	var got []string
	s.OnChange(func(c central.Change) {
		got = append(got, fmt.Sprintf("%d %s %s>%s", c.Version, c.Identity, c.Old, c.New))
	})
	put(t, s, "a", "K", "x", `1`)
	put(t, s, "a", "K", "x", `1`)
	put(t, s, "a", "K", "x", `2`)
	put(t, s, "a", "K", "x", ``)
	if d := cmp.Diff([]string{"1 x >1", "2 x 1>2", "3 x 2>"}, got); d != "" {
		t.Error(d)
	}
}

// documentWriters count in one document; none of the additions is lost.
func documentWriters(t *testing.T, s central.Store) {
	const writers, each = 4, 10
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				_, err := s.Change(t.Context(), "a", "K", "n", func(old []byte) ([]byte, error) {
					n := 0
					_, _ = fmt.Sscan(string(old), &n) // 0 before the first
					return fmt.Appendf(nil, "%d", n+1), nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if list, err := s.List(t.Context(), "K"); err != nil || len(list) != 1 || string(list[0].Content) != "40" || list[0].Version != writers*each {
		t.Errorf("%+v, %v", list, err)
	}
}

func documentsCancelled(t *testing.T, s central.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Change(ctx, "a", "K", "x", func([]byte) ([]byte, error) { return []byte("1"), nil }); !fault.Is(err, fault.Timeout) {
		t.Errorf("Change: %v", err)
	}
	if _, err := s.List(ctx, ""); !fault.Is(err, fault.Timeout) {
		t.Errorf("List: %v", err)
	}
	put(t, s, "a", "K", "x", `1`)
}
