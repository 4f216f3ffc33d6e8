package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"
)

func TestKinds(t *testing.T) {
	if int(Gone)+1 != len(kindNames) {
		t.Fatalf("%d names for %d kinds", len(kindNames), Gone+1)
	}
	seen := map[string]bool{}
	for k := Internal; k <= Gone; k++ {
		if name := k.String(); name == "" || seen[name] {
			t.Errorf("kind %d is called %q", uint8(k), name)
		}
		seen[k.String()] = true
	}
	if name := Kind(200).String(); name != "kind 200" {
		t.Errorf("an unknown kind is called %q", name)
	}
	// Servers tell each other numbers: these may never change.
	for k, n := range map[Kind]uint8{Internal: 0, Invalid: 1, Unauthenticated: 2, Forbidden: 3, NotFound: 4, Exists: 5, Stale: 6, Limit: 7,
		NotPrimary: 8, NoQuorum: 9, Unavailable: 10, Timeout: 11, Unsupported: 12, Overload: 13, Gone: 14} {
		if uint8(k) != n {
			t.Errorf("%s has the number %d, want %d", k, uint8(k), n)
		}
	}
}

func TestWrapKeepsWhatIsKnown(t *testing.T) {
	inner := New(NotPrimary, "replica.Propose", "another server leads").About("group 3").Diagnosed(1038)
	inner.Server, inner.RetryAfter = "fe2", time.Second
	outer := Wrap("registrar.Bind", inner)
	var e *Error
	if !errors.As(outer, &e) || e.Op != "registrar.Bind" || e.Kind != NotPrimary || e.Subject != "group 3" || e.Text != "another server leads" ||
		e.Diag != 1038 || e.Server != "fe2" || e.RetryAfter != time.Second {
		t.Errorf("got %+v", e)
	}
	if !errors.Is(outer, inner) || errors.Unwrap(outer) != error(inner) {
		t.Error("the cause is lost")
	}
	if inner.Op != "replica.Propose" {
		t.Error("the cause was changed")
	}
}

func TestWrapOfOthers(t *testing.T) {
	if err := Wrap("a.b", nil); err != nil {
		t.Errorf("nil becomes %v", err)
	}
	if err := Wrap("a.b", io.EOF); KindOf(err) != Internal || !errors.Is(err, io.EOF) || err.Error() != "a.b: internal: EOF" {
		t.Errorf("EOF becomes %v", err)
	}
	mixed := fmt.Errorf("on the way: %w", New(Stale, "x.y", "old"))
	if err := Wrap("a.b", mixed); KindOf(err) != Stale || err.Error() != "a.b: old" {
		t.Errorf("a wrapped fault becomes %v", err)
	}
}

func TestErrorText(t *testing.T) {
	base := New(Invalid, "sip.Parse", "the Via has no branch")
	for _, c := range []struct {
		err  error
		want string
	}{
		{base, "sip.Parse: the Via has no branch"},
		{New(Limit, "a.b", "").About("sip:bob@example.test"), "a.b: sip:bob@example.test: limit"},
		{&Error{Op: "a.b", Kind: Kind(99)}, "a.b: kind 99"},
		{Newf(Limit, "a.b", "more than %d of %s", 3, "them"), "a.b: more than 3 of them"},
		{New(Unavailable, "a.b", "the store does not answer").About("disk").Because(io.ErrShortWrite), "a.b: disk: the store does not answer: short write"},
		{Wrap("mux.Serve", base), "mux.Serve: the Via has no branch"},                                                                       // not said twice
		{New(Unavailable, "a.b", "no certificate").Because(base), "a.b: no certificate: sip.Parse: the Via has no branch"},                  // another text is
		{Wrap("c.d", Wrap("a.b", New(Timeout, "x.y", "").Because(io.EOF))), "c.d: timeout: EOF"},                                            // nor a kind
		{Wrap("c.d", New(Internal, "a.b", "the file is broken").Because(io.ErrUnexpectedEOF)), "c.d: the file is broken: unexpected EOF"},   // but the cause
		{Wrap("d.e", Wrap("c.d", Wrap("a.b", io.EOF))), "d.e: internal: EOF"},                                                               // once at any depth
		{Wrap("c.d", fmt.Errorf("while reading: %w", New(Invalid, "a.b", "bad").Because(io.EOF))), "c.d: bad: EOF"},                         // through foreign wrapping
		{New(Internal, "c.d", "").Because(errors.Join(io.EOF, io.ErrClosedPipe)), "c.d: internal: EOF\nio: read/write on closed pipe"},      // all of several
		{New(Timeout, "c.d", "no answer").Because(context.DeadlineExceeded).About("fe2"), "c.d: fe2: no answer: context deadline exceeded"}, // of the library
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestKindOf(t *testing.T) {
	gone := New(Gone, "a.b", "it has ended")
	for _, c := range []struct {
		err  error
		want Kind
	}{
		{nil, Internal}, {io.EOF, Internal}, {gone, Gone}, {Wrap("c.d", gone), Gone}, {fmt.Errorf("x: %w", gone), Gone}, {errors.Join(io.EOF, gone), Gone},
		{New(Limit, "c.d", "outer").Because(gone), Limit},
	} {
		if got := KindOf(c.err); got != c.want {
			t.Errorf("%v is %s, want %s", c.err, got, c.want)
		}
		if c.err != nil && Is(c.err, Gone) != (c.want == Gone) {
			t.Errorf("Is(%v, gone) is %v", c.err, c.want != Gone)
		}
	}
	if Is(io.EOF, Internal) || Is(nil, Internal) {
		t.Error("an error that is not ours is not of a kind of ours")
	}
}
