package presence

import (
	"testing"
	"unsafe"

	"trivet/uc"
)

// A request's strings are parts of its whole text: a watcher that kept one would
// keep some kilobytes for the life of the subscription.
func TestWatcherKeepsNoRequest(t *testing.T) {
	t.Parallel()
	text := "sip:alice@example.test e1 call-1 tag-1"
	d := dialog{uc.UserURI(text[:22]), uc.EndpointID(text[23:25]), text[26:32], text[33:]}
	var x watchIndex
	x.init()
	w := x.open(d)
	if x.find(d) != w || w.dialog != d {
		t.Fatalf("the dialog is %+v", w.dialog)
	}
	begin := uintptr(unsafe.Pointer(unsafe.StringData(text)))
	for _, s := range []string{string(w.dialog.user), string(w.dialog.endpoint), w.dialog.callID, w.dialog.tag} {
		if at := uintptr(unsafe.Pointer(unsafe.StringData(s))); at >= begin && at < begin+uintptr(len(text)) {
			t.Errorf("%q is a part of the request", s)
		}
	}
	x.open(d)
	if x.close(w); x.find(d) != w {
		t.Error("the watcher went while a request is being answered")
	}
}
