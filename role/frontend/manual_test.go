package frontend

import (
	"context"
	"flag"
	"io"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/kit/conf"
	"trivet/kit/log"
	"trivet/link/sipmux"
)

var update = flag.Bool("update", false, "write docs/sip-methods.md anew")

const methodsHead = `# SIP requests

The route table of a Standard Edition server: every request that is served, by method, application, event package and content
type. The application *conf* stands for addresses of conferences. A request goes to the row that fits it best; what fits none gets
405, 489 or 415. *Who* is the least right a sender needs: anyone, a signed-in user, a server or a partner with its certificate.

This page is written from the table itself by ` + "`go test ./role/frontend -run TestMethodsManual -update`" + `; without
the flag the test fails when the two differ.

`

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
	const page = "../../docs/sip-methods.md"
	want := methodsHead + sipmux.Markdown(rows)
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("docs/sip-methods.md is not the route table (-table +page):\n%s", d)
	}
}
