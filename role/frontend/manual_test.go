package frontend

import (
	"context"
	"io"
	"testing"

	"trivet/kit/conf"
	"trivet/kit/log"
	"trivet/link/sipmux"
	"trivet/test/manual"
)

func TestMethodsManual(t *testing.T) {
	set, err := conf.Load(t.TempDir(), map[string]string{"sip.tls": "0", "sip.tcp": "0", "https": "0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var rows []sipmux.Route
	if err := Serve(ctx, set, log.Discard(), io.Discard, func(r Ready) { rows = r.Routes; cancel() }); err != nil {
		t.Fatal(err)
	}
	manual.Part{Page: "../../docs/sip-methods.md", Name: "requests", Run: "./role/frontend"}.Hold(t, sipmux.Markdown(rows))
}
